//! `coafi schedule`.

mod acting;
mod backfill;
mod history;
mod list;
mod next;

use clap::Subcommand;

use super::{Context, Exit, Failure};
use crate::config::Settings;
use crate::schedule::Schedule;

/// Schedules: when they fire, what became of it, and how to step in.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi schedule list
  coafi schedule next daily-report --count 3
  coafi schedule pause daily-report --reason 'the report is being changed'
  coafi schedule history daily-report

`coafi connect schedule` fires them; docs/schedules.md says how they are configured.")]
pub(super) enum Schedules {
    List(list::List),
    Next(next::Next),
    History(history::History),
    Trigger(acting::Trigger),
    Backfill(backfill::Backfill),
    Pause(acting::Pause),
    Resume(acting::Resume),
}

impl Schedules {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Next(command) => command.run(context),
            Self::History(command) => command.run(context).await,
            Self::Trigger(command) => command.run(context).await,
            Self::Backfill(command) => command.run(context).await,
            Self::Pause(command) => command.run(context).await,
            Self::Resume(command) => command.run(context).await,
        }
    }
}

/// The configured schedule of this name.
fn named<'a>(settings: &'a Settings, name: &str) -> Result<&'a Schedule, Failure> {
    let known = || settings.schedules.iter().map(|schedule| schedule.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = settings.schedules.iter().find(|schedule| schedule.name.as_str() == name);
    found.ok_or_else(|| {
        let known = known();
        let known = if known.is_empty() { "none is".to_owned() } else { known };
        Failure::usage(format!("no schedule {name:?} is configured; configured: {known}"))
            .next("name one of these, or add it to schedules; see docs/schedules.md")
    })
}

/// A due time on the wall clock of its schedule.
fn local(schedule: &Schedule, time: jiff::Timestamp) -> String {
    time.to_zoned(schedule.timetable.zone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
