//! `coafi schedule history`.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{local, named};
use crate::app;
use crate::connectors::schedule::Ledger;
use crate::schedule::Schedule;
use crate::schema::payloads::ScheduleDecision;

/// Show what became of a schedule's due times, and why: fired, caught up, or skipped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule history daily-report
  coafi schedule history daily-report --last 1000 --output json | jq '.entries[] | select(.decision == \"skipped\")'

Exit codes: 0 shown, 1 the topic of the ledger does not exist, 2 there is no such schedule, 3 Kafka or the schema registry does
not answer.")]
pub(in crate::cli) struct History {
    /// The schedule.
    name: String,
    /// How many entries, from the end back.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: u32,
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let schedule = named(context.settings(), &self.name)?;
        let places = context.places();
        let settings = app::schedule_settings(context.settings(), &places, context.codec()?, "");
        let ledger = Ledger::new(places.reader(), &settings);
        let entries = ledger.last(&schedule.name, self.last as usize).await.map_err(anyhow::Error::new)?;
        let rows = entries.iter().map(|entry| row(schedule, entry)).collect();
        let json = json!({"entries": entries.iter().map(as_json).collect::<Vec<_>>()});
        let last = format!("{} shown", entries.len());
        let header = ["at", "decision", "due", "times", "reason", "by"];
        context.output().answer(&Answer { json, text: table(header, rows, &last), yes: true })
    }
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

fn row(schedule: &Schedule, entry: &ScheduleDecision) -> [String; 6] {
    let due = match (entry.due_from, entry.due_to) {
        (Some(from), Some(to)) if from != to => {
            format!("{} to {}", local(schedule, time(from)), local(schedule, time(to)))
        }
        (Some(from), _) => local(schedule, time(from)),
        (None, _) => "-".to_owned(),
    };
    let times = if entry.count == 0 { "-".to_owned() } else { entry.count.to_string() };
    let at = local(schedule, time(entry.at));
    [at, entry.decision.name().to_owned(), due, times, entry.reason.clone(), entry.by.clone()]
}

fn as_json(entry: &ScheduleDecision) -> Value {
    json!({
        "at": time(entry.at),
        "decision": entry.decision,
        "dueFrom": entry.due_from.map(time),
        "dueTo": entry.due_to.map(time),
        "count": entry.count,
        "reason": entry.reason,
        "eventId": entry.event_id,
        "by": entry.by,
    })
}
