//! What a running schedule connector shows the world.

use super::connector::Watched;
use crate::connectors::schedule::{Phase, Progress};
use crate::telemetry::SourceProgress;

impl Watched for Progress {
    const WHAT: &'static str = "schedules";

    /// Ready while nothing fails; standing by for another leader is ready.
    fn trouble(&self) -> Result<(), String> {
        match self.phase {
            Phase::StandingBy | Phase::Leading => Ok(()),
            Phase::Failing => Err(self.error.clone().unwrap_or_else(|| "it is tried again".to_owned())),
        }
    }

    fn sources(&self) -> Vec<SourceProgress> {
        let source = |(name, schedule): (&String, &crate::connectors::schedule::ScheduleProgress)| SourceProgress {
            source: format!("schedule:{name}").into(),
            published: schedule.fired,
            backlog: 0,
            failing: self.phase == Phase::Failing,
        };
        self.schedules.iter().map(source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_schedules_from_being_fired_is_named() {
        let mut progress = Progress::default();
        assert_eq!(progress.trouble(), Ok(()), "standing by");
        progress.phase = Phase::Failing;
        progress.error = Some("no broker".to_owned());
        assert_eq!(progress.trouble(), Err("no broker".to_owned()));
        progress.schedules.entry("a".to_owned()).or_default().fired = 2;
        let sources = progress.sources();
        assert_eq!((&*sources[0].source, sources[0].published, sources[0].failing), ("schedule:a", 2, true));
    }
}
