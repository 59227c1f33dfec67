//! `coafi connect schedule`.

use clap::Args;

use super::super::output::table;
use super::super::{Bar, Context, Exit, Failure};
use super::beside::Beside;
use crate::app;
use crate::connectors::schedule::{Phase, Progress};
use crate::runtime::Shutdown;

/// Every due time of the configured schedules as an event on coafi.schedule.
///
/// One process leads, as many as wanted stand by and take over; none is skipped and none doubled by that. What becomes of
/// every due time is written down: `coafi schedule history`. Ends on SIGTERM or SIGINT. Serves /health, /ready and /metrics on
/// http.listen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi connect schedule
  coafi --config schedules.yaml connect schedule

Exit codes: 0 stopped, 1 what is kept of a schedule cannot be read, 2 the configuration is wrong or has no schedules,
3 Kafka or the schema registry does not answer.")]
pub(in crate::cli) struct Schedule {}

impl Schedule {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if context.settings().schedules.is_empty() {
            return Err(Failure::usage("no schedule is configured").next("set schedules; see docs/schedules.md"));
        }
        let telemetry = context.start_quiet_telemetry("warn")?;
        let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()).because(error))?;
        let connector = app::schedule_connector(context.settings(), &context.places(), context.codec()?);
        let beside = Beside { context, telemetry, shutdown, pages: true, counts: "fires" };
        let ended = beside.run(show, |stop, report| connector.run(stop, report)).await?;
        let progress = ended.map_err(anyhow::Error::new)?;
        let rows = progress.schedules.iter().map(|(name, schedule)| (name.clone(), schedule.fired, schedule.skipped));
        let rows: Vec<_> = rows.collect();
        let json = serde_json::json!({"schedules": rows.iter().map(|(name, fired, skipped)| {
            serde_json::json!({"schedule": name, "fired": fired, "skipped": skipped})
        }).collect::<Vec<_>>()});
        context.output().show(&json, |_| {
            let cells =
                rows.iter().map(|(name, fired, skipped)| [name.clone(), fired.to_string(), skipped.to_string()]);
            table(&["schedule", "fired", "skipped"], 1, cells)
        })?;
        Ok(Exit::Ok)
    }
}

fn show(bar: &Bar, progress: &Progress) {
    let fired = progress.schedules.values().map(|schedule| schedule.fired).sum();
    let next = progress.schedules.iter().filter_map(|(name, schedule)| Some((schedule.next?, name))).min();
    let remark = match (progress.phase, next) {
        (Phase::StandingBy, _) => "standing by".to_owned(),
        (Phase::Failing, _) => progress.error.clone().unwrap_or_default(),
        (Phase::Leading, Some((due, name))) => format!("next: {name} at {due}"),
        (Phase::Leading, None) => "leading".to_owned(),
    };
    bar.set(fired, None, remark);
}
