//! What commands that act on letters have in common: who acts, how fast, and what became of each.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::super::answer::table;
use super::super::causes::{REGISTRY, is_systemic};
use super::super::{Bar, Context, Exit, Failure, Format};
use super::counted::Counted;
use crate::config::{host_name, parse_duration};
use crate::dlq::{Actor, Fate, Heard, RedriveError, Reported, Sends, Standing, WatchError, WriteError};
use crate::kafka::scan::Reader;
use crate::kafka::topics::Declaration;

/// Rows of a table: what went wrong first.
const ROWS_MAX: usize = 1_000;

/// Who acts, and why: both are written into the audit record.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Acting {
    /// Why, for the audit record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who, for the audit record; by default this user on this machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// How records are sent again.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Sending {
    /// Send at most so many records a second.
    #[arg(long, value_name = "PER_SECOND", default_value = "50")]
    pub(in crate::cli) rate: NonZeroU32,
    /// Wait for at most so many outcomes at a time.
    #[arg(long, value_name = "NUMBER", default_value = "500")]
    pub(in crate::cli) max_awaited: NonZeroU32,
    /// Wait so long for the outcome of each record, retries included.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(in crate::cli) timeout: Duration,
    /// Do not wait: what becomes of the records is then unknown, and said so.
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,
    /// Send nothing: wait for what an earlier command sent and has no outcome yet.
    #[arg(long, conflicts_with_all = ["no_wait", "dry_run"])]
    pub(in crate::cli) resume: bool,
    /// Send those, and no others, that were sent longer ago than this and whose outcome has not come: once more, under the next
    /// number.
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "resume")]
    pub(in crate::cli) lost: Option<Duration>,
    /// Say what would be sent, and do nothing.
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    #[command(flatten)]
    counted: Counted,
}

impl Sending {
    pub(in crate::cli) fn sends(&self) -> Sends {
        match self.lost {
            Some(after) => Sends::Lost(after),
            None if self.resume => Sends::Nothing,
            None => Sends::Waiting,
        }
    }

    pub(in crate::cli) fn patience(&self) -> Option<Duration> {
        (!self.no_wait).then_some(self.timeout)
    }

    /// The group whose outcomes count, once it is known that it handles one topic of each set; and where it stands, if that
    /// decides what is lost.
    pub(in crate::cli) async fn group(
        &self,
        context: &Context,
        topics: &[BTreeSet<&str>],
        (reader, declarations): (&Reader, &[Declaration]),
    ) -> Result<Standing, Failure> {
        if !self.no_wait {
            self.counted.handles(context, topics).await?;
        }
        self.counted.standing(context, reader, declarations, self.lost.is_some()).await
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| !duration.is_zero()).ok_or_else(|| "allowed: 500ms, 30s, 5m, 2h".to_owned())
}

/// This user on this machine, unless it is said otherwise.
pub(in crate::cli) fn actor(acting: &Acting) -> Actor {
    let user = || ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|n| !n.is_empty()));
    let by = acting.by.clone();
    let by = by.unwrap_or_else(|| format!("{}@{}", user().unwrap_or_else(|| "unknown".to_owned()), host_name()));
    Actor { by, reason: acting.reason.clone() }
}

/// What became of the letters, as it is heard: a line of JSON each at once, or a table at the end.
pub(in crate::cli) struct Journal<'a> {
    context: &'a Context,
    bar: Bar,
    counts: BTreeMap<&'static str, u64>,
    all_good: bool,
    /// What went wrong, and what went well as long as there is room.
    bad: Vec<Reported>,
    good: Vec<Reported>,
    /// Stdout cannot be written to; said once, at the end.
    broken: Option<std::io::Error>,
}

impl<'a> Journal<'a> {
    pub(in crate::cli) fn new(context: &'a Context, label: &str) -> Self {
        let bar = context.output().bar(label, None);
        let (bad, good) = (Vec::new(), Vec::new());
        Self { context, bar, counts: BTreeMap::new(), all_good: true, bad, good, broken: None }
    }

    pub(in crate::cli) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Ended(reported) => self.ended(*reported),
            Heard::Progress { read, sent, awaited } => {
                let remark = format!("{sent} sent, {awaited} awaited");
                self.bar.set(read.done, Some(read.total), remark);
            }
            remarkable => remark(self.context, &remarkable),
        }
    }

    fn ended(&mut self, reported: Reported) {
        *self.counts.entry(reported.fate.word()).or_default() += 1;
        let is_good = reported.fate.is_good();
        self.all_good &= is_good;
        if self.context.output().format() == Format::Json {
            let line = serde_json::to_string(&reported).map_err(std::io::Error::from);
            let written = line.and_then(|line| self.context.output().line(&line));
            self.broken = self.broken.take().or(written.err());
            return;
        }
        let kept = if is_good { &mut self.good } else { &mut self.bad };
        if kept.len() < ROWS_MAX {
            kept.push(reported);
        }
    }

    /// As [`Self::close`], of a command that failed: what became of records before that is said first, if anything did.
    pub(in crate::cli) fn close_with(self, error: RedriveError) -> Failure {
        match self.counts.is_empty() {
            true => error.into(),
            false => self.close().err().unwrap_or_else(|| error.into()),
        }
    }

    /// Writes what is left to say. Exit code 1 unless every record is what it was to be.
    pub(in crate::cli) fn close(self) -> Result<Exit, Failure> {
        let Self { context, bar, counts, all_good, bad, good, broken } = self;
        drop(bar);
        if let Some(error) = broken {
            return Err(error.into());
        }
        let total: u64 = counts.values().sum();
        let summary = json!({"summary": {"total": total, "fates": counts}});
        context.output().show(&summary, |_| {
            let rows = bad.into_iter().chain(good).take(ROWS_MAX).map(row).collect::<Vec<_>>();
            let hidden = total - rows.len() as u64;
            let counted: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let mut last = match total {
                0 => "there was nothing to do".to_owned(),
                _ => format!("{total} records: {}", counted.join(", ")),
            };
            if hidden > 0 {
                last.push_str(&format!(" ({hidden} of them not shown)"));
            }
            table(["letter", "type", "event", "redrive", "sent to", "outcome", "detail"], rows, &last)
        })?;
        Ok(if all_good { Exit::Ok } else { Exit::No })
    }
}

/// Says what concerns no single letter.
pub(super) fn remark(context: &Context, heard: &Heard) {
    let text = match heard {
        Heard::Ended(_) | Heard::Progress { .. } => return,
        Heard::Undecided { count, first } => {
            format!("left alone: the filter cannot be asked about {count} records, e.g.: {first}")
        }
        Heard::Rubbish { place, why } => format!("passed over: {place} is no outcome that can be read: {why}"),
        Heard::Before { count } => format!(
            "left alone: {count} that were redriven before came out otherwise than processed; \
             `coafi dlq list --status redriven` shows them"
        ),
    };
    context.output().remark(&text);
}

fn row(reported: Reported) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let redrive = if reported.redrive == 0 { "-".to_owned() } else { reported.redrive.to_string() };
    [
        reported.letter.to_string(),
        or_dash(reported.event_type),
        or_dash(reported.event_id),
        redrive,
        or_dash(reported.sent_to),
        reported.fate.word().to_owned(),
        Fate::detail(&reported.fate),
    ]
}

impl From<RedriveError> for Failure {
    fn from(error: RedriveError) -> Self {
        const AGAIN: &str = "run the command again: what was sent is not sent again, and its outcome is waited for";
        const APPLY: &str = "run `coafi topics apply` and `coafi schemas register`";
        let message = error.to_string();
        match error {
            RedriveError::Scan(error) => anyhow::Error::new(error).into(),
            RedriveError::States(error) => anyhow::Error::new(error).into(),
            RedriveError::Write(WriteError::Schema(failure))
            | RedriveError::Schema(failure)
            | RedriveError::Watch(WatchError::Undecodable { failure, .. })
                if is_systemic(&failure) =>
            {
                Self::unavailable(message).next(REGISTRY)
            }
            RedriveError::Letters(error) => error.into(),
            RedriveError::Write(WriteError::Fenced { .. }) => {
                Self::failed(message).next("`coafi dlq list --status redriving` shows what is under way")
            }
            RedriveError::Write(WriteError::Schema(_)) | RedriveError::Schema(_) => Self::failed(message).next(APPLY),
            RedriveError::Write(_) | RedriveError::Watch(_) | RedriveError::Unsettled { .. } => {
                Self::unavailable(message).next(AGAIN)
            }
        }
    }
}
