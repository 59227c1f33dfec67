//! `coafi schedule list`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::local;
use crate::app;
use crate::connectors::schedule::{LookError, positions};
use crate::kafka::scan::ScanError;
use crate::schedule::{Name, Schedule, Standing};

/// List the configured schedules: whether they fire, and when they are due next.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi schedule list
  coafi schedule list --output json | jq -r '.schedules[] | select(.state == \"paused\") | .schedule'

Exit codes: 0 listed, 2 the configuration is wrong, 3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct List {}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let places = context.places();
        let settings = app::schedule_settings(context.settings(), &places, context.codec()?, "");
        let standings = match positions(&places.reader(), &settings).await {
            // Then nothing was ever fired.
            Err(LookError::Scan(ScanError::NoTopic { .. })) => BTreeMap::new(),
            standings => standings.map_err(anyhow::Error::new)?,
        };
        let schedules = &context.settings().schedules;
        let rows = schedules.iter().map(|schedule| row(schedule, standings.get(&schedule.name))).collect();
        let listed: Vec<Value> =
            schedules.iter().map(|schedule| as_json(schedule, standings.get(&schedule.name))).collect();
        let last = match schedules.len() {
            0 => "no schedule is configured; see docs/schedules.md".to_owned(),
            count => format!("{count} listed"),
        };
        let header = ["schedule", "when", "type", "missed", "state", "next"];
        let unknown: Vec<&Name> =
            standings.keys().filter(|name| schedules.iter().all(|schedule| schedule.name != **name)).collect();
        let json = json!({
            "schedules": listed,
            "notConfigured": unknown.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        });
        context.output().answer(&Answer { json, text: table(header, rows, &last), yes: true })
    }
}

fn state(schedule: &Schedule, standing: Option<&Standing>) -> &'static str {
    match standing {
        _ if !schedule.enabled => "disabled",
        Some(standing) if standing.paused.is_some() => "paused",
        Some(standing) if standing.is_of(&schedule.timetable) => "active",
        _ => "not started",
    }
}

/// What it fires next, if it does.
fn next(schedule: &Schedule, standing: Option<&Standing>) -> Option<jiff::Timestamp> {
    let standing = standing.filter(|_| state(schedule, standing) == "active")?;
    schedule.timetable.next_after(standing.decided_to)
}

fn row(schedule: &Schedule, standing: Option<&Standing>) -> [String; 6] {
    let state = match standing.and_then(|standing| standing.paused.as_ref()) {
        Some(pause) if schedule.enabled => format!("paused by {} at {}", pause.by, local(schedule, pause.at)),
        _ => state(schedule, standing).to_owned(),
    };
    let next = next(schedule, standing).map_or_else(|| "-".to_owned(), |next| local(schedule, next));
    let Schedule { name, timetable, event_type, missed, .. } = schedule;
    [name.to_string(), timetable.to_string(), event_type.clone(), missed.to_string(), state, next]
}

fn as_json(schedule: &Schedule, standing: Option<&Standing>) -> Value {
    json!({
        "schedule": schedule.name.as_str(),
        "when": schedule.timetable.to_string(),
        "type": schedule.event_type,
        "data": schedule.data,
        "missed": schedule.missed.to_string(),
        "state": state(schedule, standing),
        "paused": standing.and_then(|standing| standing.paused.as_ref()),
        "decidedTo": standing.map(|standing| standing.decided_to),
        "next": next(schedule, standing),
    })
}
