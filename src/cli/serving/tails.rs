//! What a running connector of topics shows the world.

use super::connector::Watched;
use crate::connectors::tail::{Phase, Progress};
use crate::telemetry::SourceProgress;

impl Watched for Progress {
    const WHAT: &'static str = "topics";

    /// Ready while nothing fails; standing by for another connector is ready.
    fn trouble(&self) -> Result<(), String> {
        if self.sources.is_empty() {
            return Err("starting: waiting for Kafka".to_owned());
        }
        let failing = self.sources.iter().filter(|(_, source)| source.phase == Phase::Failing);
        let failing: Vec<_> = failing
            .map(|(name, source)| format!("{name}: {}", source.error.as_deref().unwrap_or("it is tried again")))
            .collect();
        if failing.is_empty() { Ok(()) } else { Err(failing.join("; ")) }
    }

    fn sources(&self) -> Vec<SourceProgress> {
        let source = |(name, state): (&String, &crate::connectors::tail::SourceState)| SourceProgress {
            source: format!("topic:{name}").into(),
            published: state.published,
            backlog: 0,
            failing: state.phase == Phase::Failing,
        };
        self.sources.iter().map(source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::tail::SourceState;

    #[test]
    fn a_topic_that_fails_is_named() {
        let mut progress = Progress::default();
        assert!(progress.trouble().is_err_and(|why| why.contains("starting")));
        progress.sources.insert("a".to_owned(), SourceState { published: 2, ..SourceState::default() });
        assert_eq!(progress.trouble(), Ok(()), "standing by");
        let failing = SourceState { phase: Phase::Failing, error: Some("gone".to_owned()), ..SourceState::default() };
        progress.sources.insert("b".to_owned(), failing);
        assert_eq!(progress.trouble(), Err("b: gone".to_owned()));
        let sources: Vec<_> = progress.sources().into_iter().map(|one| (one.published, one.failing)).collect();
        assert_eq!(sources, [(2, false), (0, true)]);
    }
}
