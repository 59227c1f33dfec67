//! `coafi routes test`: recorded traffic through other routes, up to where handlers would run.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::answer::table;
use super::{Answer, Context, Exit, Failure};
use crate::app::{self, Decided, Decision};
use crate::kafka::scan::{Bound, ScanError, Wanted};

/// Tell what another routes file would decide differently about recorded events.
///
/// Every event since then is shown to the routes in force and to the candidate: which route takes it, whether its filter
/// wants it, which handlers would run. None runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi routes test --since 2h --routes candidate.yaml
  coafi routes test --since 2026-01-31T12:00:00Z --routes candidate.yaml --topic coafi.git --output json

Exit codes: 0 nothing is decided differently, 1 something is, 2 a file, a topic or a bound is refused, 3 Kafka or the schema
registry does not answer.")]
pub(crate) struct Test {
    /// The first event: how long ago (2h), a time, an offset, or beginning.
    #[arg(long, value_name = "BOUND", allow_hyphen_values = true)]
    since: Bound,
    /// The candidate; by default the file in force, which decides nothing differently.
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// Only these topics; by default every source topic that a route of either file takes events from.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
}

impl Test {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let now = app::routes(context.settings(), &declarations)?;
        let candidate = match &self.routes {
            Some(file) => app::named_routes(file, context.settings(), &declarations)?,
            None => now.clone(),
        };
        let topics = if self.topics.is_empty() {
            let known = app::known_topics(&declarations).into_keys();
            let taken =
                |topic: &String| now.list().iter().chain(candidate.list()).any(|route| route.topics.matches(topic));
            known.filter(taken).collect()
        } else {
            self.topics
        };
        let wanted = Wanted { topics, partitions: [].into(), from: self.since, to: Bound::End };
        let decided = {
            let bar = context.output().bar("reading events", None);
            let (reader, codec) = (context.places().reader(), context.codec()?);
            app::decide(&reader, wanted, (&now, &candidate), &codec, |progress| {
                bar.set(progress.done, Some(progress.total), String::new());
            })
            .await
            .map_err(untested)?
        };
        context.output().answer(&answer(&decided, now.version(), candidate.version())?)
    }
}

/// What cannot be read is no difference, and has another exit code.
fn untested(error: anyhow::Error) -> Failure {
    let next = match error.downcast_ref() {
        Some(ScanError::NoTopic { .. }) => "name another topic, or make it with `coafi topics apply`",
        Some(ScanError::Expired { .. } | ScanError::Overtaken { .. }) => "begin later, or with --since beginning",
        _ => return error.into(),
    };
    Failure::usage(error.to_string()).next(next)
}

fn answer(decided: &[Decided], now: &str, candidate: &str) -> anyhow::Result<Answer> {
    let events: u64 = decided.iter().map(|one| one.events).sum();
    let different: u64 = decided.iter().filter(|one| one.differs()).map(|one| one.events).sum();
    let rows = decided.iter().map(|one| {
        let (change, examples) = match one.differs() {
            true => (say(&one.candidate), one.examples.join(", ")),
            false => ("same".to_owned(), String::new()),
        };
        [one.event_type.clone(), one.events.to_string(), say(&one.now), change, examples]
    });
    let last =
        format!("{different} of {events} events would be decided differently ({now} now, candidate {candidate})");
    Ok(Answer {
        json: json!({
            "events": events, "different": different, "version": now, "candidateVersion": candidate, "decided": decided,
        }),
        text: table(["type", "events", "now", "candidate", "for example"], rows.collect(), &last),
        yes: different == 0,
    })
}

fn say(decision: &Decision) -> String {
    match decision {
        Decision::Poison => "no event".to_owned(),
        Decision::Unprocessed => "unprocessed".to_owned(),
        Decision::Filtered { route } => format!("filtered by {route}"),
        Decision::FilterFailed { route } => format!("filter of {route} fails"),
        Decision::Waits { route } => format!("waits: {route} is disabled"),
        Decision::Handled { route, handlers } => format!("{route}: {}", handlers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_no_difference() {
        let missing = ScanError::NoTopic { topic: "nosuch".to_owned() };
        assert_eq!(untested(anyhow::Error::new(missing)).exit(), Exit::Usage);
    }

    #[test]
    fn the_answer_is_no_if_anything_differs() {
        let decided = |candidate: Decision| Decided {
            event_type: "git.push".to_owned(),
            now: Decision::Unprocessed,
            candidate,
            events: 2,
            examples: vec!["t[0]@1 7".to_owned()],
        };
        let same = answer(&[decided(Decision::Unprocessed)], "a", "a").unwrap();
        assert!(same.yes && same.text.contains("0 of 2 events"), "{}", same.text);
        let other = Decision::Handled { route: "r".to_owned(), handlers: vec!["log".to_owned()] };
        let different = answer(&[decided(Decision::Unprocessed), decided(other)], "a", "b").unwrap();
        assert!(!different.yes && different.text.contains("2 of 4 events"), "{}", different.text);
        assert_eq!(different.json["decided"][1]["candidate"]["handled"]["route"], "r");
    }
}
