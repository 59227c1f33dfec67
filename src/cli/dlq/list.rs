//! `coafi dlq list`, and the listing of unprocessed events.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::which::{Found, Which};
use crate::app;
use crate::dlq::{Letter, Letters, LettersError, Next, Refusal, Selection, StateError, States};
use crate::kafka::scan::ScanError;
use crate::runtime::unix_ms;
use crate::schema::payloads::{LetterState, LetterStatus};

/// Of an error's text in a table.
const ERROR_CHARS: usize = 60;
/// How long a record is waited for before progress is shown again.
const TURN: std::time::Duration = std::time::Duration::from_millis(100);

/// List dead letters that nobody has acted on yet, oldest first within a partition.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi dlq list
  coafi dlq list --topic coafi.git --class permanent --handler git_commit --from 24h
  coafi dlq list --filter \"data.branch == 'main'\" --output json | jq -r '.letters[].letter'
  coafi dlq list --status redriving

Exit codes: 0 listed, 2 the command line is wrong, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    listing: Listing,
}

/// How a list is shown.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Listing {
    /// Show what was done with them too.
    #[arg(long, value_enum, value_name = "STATUS", default_values = ["waiting", "redriving", "unknown"], value_delimiter = ',')]
    status: Vec<Status>,
    /// How many are shown; the rest is counted.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    limit: usize,
}

/// What was done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Status {
    /// Nothing yet.
    Waiting,
    /// Sent again; its outcome has not been seen.
    Redriving,
    /// Sent again, with an outcome.
    Redriven,
    /// Given up.
    Purged,
    /// Not known: somebody else wrote to coafi.dlq.state. Left alone.
    Unknown,
}

impl Status {
    const fn of(state: &State<'_>) -> Self {
        let Ok(state) = state else { return Self::Unknown };
        match state {
            None => Self::Waiting,
            Some(LetterState { status: LetterStatus::Redriving, .. }) => Self::Redriving,
            Some(LetterState { status: LetterStatus::Redriven, .. }) => Self::Redriven,
            Some(LetterState { status: LetterStatus::Purged, .. }) => Self::Purged,
        }
    }

    pub(in crate::cli) const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Redriving => "redriving",
            Self::Redriven => "redriven",
            Self::Purged => "purged",
            Self::Unknown => "unknown",
        }
    }
}

/// What [`States::of`] says of a letter.
type State<'a> = Result<Option<&'a LetterState>, Refusal>;

/// Whether something says which letters are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Extent {
    Everything,
    Part,
}

/// Which columns a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Columns {
    Failures,
    Reasons,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let declarations = app::declarations(context.settings()).map_err(anyhow::Error::new)?;
        let selection = self.which.selection()?;
        let found = self.which.found(context, &context.places().reader(), &declarations).await?;
        let extent = if self.which.is_everything() { Extent::Everything } else { Extent::Part };
        self.listing.show(context, &found, (&selection, extent), Columns::Failures).await
    }
}

impl Listing {
    pub(in crate::cli) async fn show(
        &self,
        context: &Context,
        found: &[Found],
        (selection, extent): (&Selection, Extent),
        columns: Columns,
    ) -> Result<Exit, Failure> {
        let (reader, codec) = (context.places().reader(), context.codec()?);
        let topics: BTreeSet<String> = found.iter().map(|found| found.topic.clone()).collect();
        let states = states(&reader, &codec, &topics).await?;
        let bar = context.output().bar("reading", None);
        let (mut shown, mut rows, mut more, mut undecided) = (Vec::new(), Vec::new(), 0_u64, 0);
        for Found { stretches, .. } in found {
            let mut letters = Letters::read(&reader, stretches, selection, &codec).map_err(anyhow::Error::new)?;
            loop {
                match letters.next(TURN).await? {
                    Next::End => break,
                    Next::Passed => {}
                    Next::Letter(letter) => {
                        let state = states.of(&letter);
                        if !self.status.contains(&Status::of(&state)) {
                            continue;
                        }
                        if shown.len() < self.limit {
                            shown.push(as_json(&letter, &state));
                            rows.push(row(&letter, &state, columns));
                        } else {
                            more += 1;
                        }
                    }
                }
                let progress = letters.progress();
                bar.set(progress.done, Some(progress.total), String::new());
            }
            if let Some((count, first)) = letters.undecided() {
                undecided += count;
                context.output().remark(&format!("the filter cannot be asked about {count} records, e.g.: {first}"));
            }
        }
        drop(bar);
        let last = last_line(shown.len(), more, undecided, extent);
        let header = match columns {
            Columns::Failures => {
                ["letter", "put away", "type", "event", "class", "handler", "attempts", "status", "error"]
            }
            Columns::Reasons => ["letter", "put away", "type", "event", "source", "age", "redrive", "status", "reason"],
        };
        let json = json!({"letters": shown, "more": more, "undecided": undecided});
        context.output().answer(&Answer { json, text: table(header, rows, &last), yes: true })
    }
}

/// The states, none where their topic has not been made yet: then nobody has acted on anything.
pub(super) async fn states(
    reader: &crate::kafka::scan::Reader,
    codec: &crate::schema::Codec,
    topics: &BTreeSet<String>,
) -> Result<States, Failure> {
    match States::read(reader, codec, topics).await {
        Ok(states) => Ok(states),
        Err(StateError::Scan(ScanError::NoTopic { .. })) => Ok(States::default()),
        Err(error) => Err(anyhow::Error::new(error).into()),
    }
}

fn last_line(shown: usize, more: u64, undecided: u64, extent: Extent) -> String {
    match (shown, more) {
        (0, 0) if undecided > 0 => format!("nothing matches, and {undecided} could not be asked"),
        (0, 0) if extent == Extent::Part => "nothing matches".to_owned(),
        (0, 0) => "nothing is waiting".to_owned(),
        (shown, 0) if undecided > 0 => format!("{shown} listed, {undecided} more could not be asked"),
        (shown, 0) => format!("{shown} listed"),
        (shown, more) => format!("{shown} listed, {more} more; narrow it, or raise --limit"),
    }
}

pub(super) fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}

fn row(letter: &Letter, state: &State<'_>, columns: Columns) -> [String; 9] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let at = letter.record.timestamp_ms();
    let status = Status::of(state);
    let known = state.as_ref().ok().copied().flatten();
    let status = match known.and_then(|state| state.outcome.as_deref()) {
        Some(outcome) => format!("{}: {outcome}", status.word()),
        None if status == Status::Redriving => {
            let since = known.map_or(0, |state| unix_ms() - state.since);
            format!("{} for {}", status.word(), age(since))
        }
        None => status.word().to_owned(),
    };
    let [four, five, six, text] = match columns {
        Columns::Failures => {
            let attempts = letter.attempts.map_or("-".to_owned(), |attempts| attempts.to_string());
            [or_dash(&letter.class), or_dash(&letter.handler), attempts, or_dash(&letter.message)]
        }
        Columns::Reasons => {
            let age = at.map_or("-".to_owned(), |at| age(unix_ms() - at));
            [or_dash(&letter.source), age, letter.redrive.to_string(), or_dash(&letter.reason)]
        }
    };
    let event = (or_dash(&letter.event_type), or_dash(&letter.event_id));
    [letter.id().to_string(), at.map_or("-".to_owned(), time), event.0, event.1, four, five, six, status, short(&text)]
}

fn short(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// All that a letter and its state say, payload apart.
pub(super) fn as_json(letter: &Letter, state: &State<'_>) -> Value {
    let origin = letter
        .origin
        .as_ref()
        .map(|origin| json!({"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}));
    json!({
        "letter": letter.id().to_string(),
        "at": letter.record.timestamp_ms().map(time),
        "key": letter.record.key().map(String::from_utf8_lossy),
        "eventId": letter.event_id,
        "eventType": letter.event_type,
        "source": letter.source,
        "errorClass": letter.class,
        "errorCode": letter.code,
        "error": letter.message,
        "location": letter.location,
        "handler": letter.handler,
        "route": letter.route,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "firstFailure": letter.first_failure_ms.map(time),
        "redrive": letter.redrive,
        "origin": origin,
        "omittedValue": letter.omitted_value,
        "droppedHeaders": letter.dropped_headers,
        "status": Status::of(state).word(),
        "state": state.as_ref().ok(),
        "stateUnknown": state.as_ref().err().map(ToString::to_string),
    })
}

impl From<LettersError> for Failure {
    fn from(error: LettersError) -> Self {
        match error {
            LettersError::Scan(error) => anyhow::Error::new(error).into(),
            LettersError::Filter(_) => {
                Self::unavailable(error.to_string()).next("check schema_registry.url and that the registry is up")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        for (ms, expected) in
            [(-5, "0 s"), (90_000, "90 s"), (300_000, "5 min"), (7_200_000, "2 h"), (200_000_000, "2 d")]
        {
            assert_eq!(age(ms), expected);
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(short("ä"), "ä");
        assert_eq!(short(&"ä".repeat(100)).chars().count(), ERROR_CHARS + 1);
        assert_eq!(last_line(2, 3, 0, Extent::Part), "2 listed, 3 more; narrow it, or raise --limit");
    }

    #[test]
    fn nothing_that_matches_is_not_nothing_that_waits() {
        assert_eq!(last_line(0, 0, 0, Extent::Everything), "nothing is waiting");
        assert_eq!(last_line(0, 0, 0, Extent::Part), "nothing matches");
        assert_eq!(last_line(0, 0, 4, Extent::Part), "nothing matches, and 4 could not be asked");
        assert_eq!(last_line(2, 0, 4, Extent::Part), "2 listed, 4 more could not be asked");
    }
}
