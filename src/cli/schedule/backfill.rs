//! `coafi schedule backfill`.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::json;

use super::super::answer::table;
use super::super::dlq::Acting;
use super::super::{Answer, Context, Exit, Failure};
use super::acting::desk;
use super::{local, named};
use crate::connectors::schedule::{BackfillError, Due};
use crate::schedule::Schedule;

/// Fire due times of the past that were not fired: skipped ones, or from before the schedule was there.
///
/// What was fired is not fired again, however often the command runs; the ids are those that the due times would have had. What
/// was fired is known for as long as coafi.schedule.ledger keeps it (90 days).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule backfill daily-report --from 2026-11-01 --to 2026-11-08 --dry-run
  coafi schedule backfill daily-report --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --reason 'the disk was full'

Exit codes: 0 all are fired, 1 there are too many, or somebody else did the same meanwhile, 2 the command line is wrong,
3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Backfill {
    /// The schedule.
    name: String,
    /// The first due time: RFC 3339, or a date or time in the schedule's time zone.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Before this.
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Say what would be fired, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    acting: Acting,
}

impl Backfill {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let (from, to) = (time(schedule, "--from", &self.from)?, time(schedule, "--to", &self.to)?);
        if from >= to {
            return Err(Failure::usage("--from is not before --to").next("begin earlier, or end later"));
        }
        let (desk, reason) = desk(context, &self.acting)?;
        let done = desk.backfill(schedule, (from, to), reason.as_deref(), self.dry_run).await;
        let due = match done {
            Ok(backfill) => backfill.due,
            Err(error @ BackfillError::TooMany) => {
                return Err(Failure::failed(error.to_string()).next("do it in several steps"));
            }
            Err(error) => return Err(anyhow::Error::new(error).into()),
        };
        let rows = due.iter().map(|(due, becomes)| [local(schedule, *due), word(*becomes, self.dry_run).to_owned()]);
        let count = due.iter().filter(|(_, becomes)| *becomes == Due::Backfilled).count();
        let last = match self.dry_run {
            true => format!("{count} of {} would be fired", due.len()),
            false => format!("{count} of {} fired", due.len()),
        };
        let json = json!({
            "schedule": self.name,
            "dryRun": self.dry_run,
            "due": due.iter().map(|(due, becomes)| json!({"due": due, "becomes": code(*becomes)})).collect::<Vec<_>>(),
            "fired": if self.dry_run { 0 } else { count },
        });
        context.output().answer(&Answer { json, text: table(["due", ""], rows.collect(), &last), yes: true })
    }
}

const fn code(due: Due) -> &'static str {
    match due {
        Due::Backfilled => "backfilled",
        Due::Fired => "fired_before",
        Due::Undecided => "undecided",
    }
}

const fn word(due: Due, dry_run: bool) -> &'static str {
    match due {
        Due::Backfilled if dry_run => "would be fired",
        Due::Backfilled => "fired",
        Due::Fired => "was fired before",
        Due::Undecided => "left to the connector",
    }
}

fn time(schedule: &Schedule, option: &str, text: &str) -> Result<Timestamp, Failure> {
    let local = || text.parse::<DateTime>().ok()?.to_zoned(schedule.timetable.zone()).ok();
    let time = text.parse().ok().or_else(|| Some(local()?.timestamp()));
    time.ok_or_else(|| {
        Failure::usage(format!("{option} {text:?} is no time")).next(
            "give one such as 2026-11-01, 2026-11-01T06:30:00 (in the schedule's time zone) or 2026-11-01T06:30:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{GRACE, Missed, Timetable};

    #[test]
    fn a_date_is_the_one_of_the_schedule() {
        let schedule = Schedule {
            name: "daily".parse().unwrap(),
            timetable: Timetable::cron("0 6 * * *", "Europe/Berlin").unwrap(),
            event_type: "schedule.fired".to_owned(),
            data: json!({}),
            missed: Missed::Latest,
            grace: GRACE,
            enabled: true,
        };
        for (text, expected) in [
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-07-01T06:30:00", "2026-07-01T04:30:00Z"),
            ("2026-07-01T06:30:00Z", "2026-07-01T06:30:00Z"),
            ("2026-07-01T06:30:00+05:00", "2026-07-01T01:30:00Z"),
        ] {
            assert_eq!(time(&schedule, "--from", text).unwrap().to_string(), expected, "{text}");
        }
        assert!(time(&schedule, "--from", "yesterday").unwrap_err().to_string().contains("--from \"yesterday\""));
    }
}
