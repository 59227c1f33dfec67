//! `GenerateReport` and `HourlyReportTask`: a report on the time before the job was due, as a page for people (HTML) and as
//! a table (CSV).
//!
//! What a report says is found out once and written first, as JSON; page and table are made of that file. So a re-run,
//! a redelivery and a replay find the report that there is, whatever has changed since (I9).

mod compliance;
mod facts;
mod render;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::facts::Facts;
use crate::config::WrittenDuration;
use crate::dispatch::artifact::{self, Artifact};
use crate::dispatch::job::{self, Job};
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once};
use crate::event::Event;
use crate::registry::entry_name;
use crate::store::EntryChange;

/// The registry that names every report's files.
pub const REGISTRY: &str = "reports";
/// The event type whose reports are on one hour, where nothing else is said.
const HOURLY: &str = "HourlyReportTask";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// What is counted is known by the second.
const PERIOD_MIN: Duration = Duration::from_secs(1);
/// About as long as handled events are known.
const PERIOD_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);
const ALLOWED: &str = "report: status (default) or compliance; format: html, csv or both (default); \
     period: 1s to 31d, such as 1h or 7d (default: 1h of HourlyReportTask, else 1d)";

inventory::submit! {
    Registration {
        name: "report",
        summary: "makes a status or compliance report (HTML, CSV), and names it in the registry of reports",
        build: |_| Ok(Arc::new(ReportHandler)),
    }
}

struct ReportHandler;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Status,
    Compliance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Html,
    Csv,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Formats {
    One(Format),
    Several(BTreeSet<Format>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    report: Kind,
    format: Option<Formats>,
    period: Option<WrittenDuration>,
}

/// What is to be reported on.
#[derive(Debug)]
struct Asked {
    kind: Kind,
    formats: BTreeSet<Format>,
    since: Timestamp,
}

#[async_trait]
impl Handler for ReportHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let job: Job<Settings> = Job::of(event, context, ALLOWED).await?;
        let asked = Asked::of(&job, event.event_type())?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let files = write(event, context, &job, &asked).await?;
        let entry = entry_name(&job.schedule, &[event.id().as_bytes()]);
        let data = json!({
            "report": asked.kind, "schedule": job.schedule, "since": asked.since, "until": job.due, "artifacts": files,
        });
        let change = EntryChange::new(REGISTRY, entry.clone(), Some(data.clone()), once::utids(event));
        let message = format!("{} is the report of {}", entry, job.due);
        once::commit(event, context, vec![change], Success { message, data, ..Success::default() }).await
    }
}

impl Asked {
    fn of(job: &Job<Settings>, event_type: &str) -> Result<Self, Failure> {
        let refused = |what: &str| job::refused(&job.schedule, &what, ALLOWED);
        let formats = match &job.settings.format {
            None => BTreeSet::from([Format::Html, Format::Csv]),
            Some(Formats::One(format)) => BTreeSet::from([*format]),
            Some(Formats::Several(formats)) => formats.clone(),
        };
        if formats.is_empty() {
            return Err(refused("format names none"));
        }
        let period = match &job.settings.period {
            None if event_type == HOURLY => HOUR,
            None => DAY,
            Some(WrittenDuration(period)) if (PERIOD_MIN..=PERIOD_MAX).contains(period) => *period,
            Some(period) => return Err(refused(&format!("period {period}"))),
        };
        let since = job.due.checked_sub(period).map_err(|_| refused("period is before all time"))?;
        Ok(Self { kind: job.settings.report, formats, since })
    }
}

/// Writes the report's files, those of before included; gives each by its format.
async fn write(
    event: &Event,
    context: &Context<'_>,
    job: &Job<Settings>,
    asked: &Asked,
) -> Result<BTreeMap<&'static str, Artifact>, Failure> {
    let store = &*context.services.artifacts;
    let name = name(event, context, &job.schedule);
    let found = Facts::find(context, job, asked).await?;
    let found = serde_json::to_vec(&found).map_err(|error| Failure::permanent("report_not_json", error))?;
    let (written, content) = Artifact::write_once(format!("{name}.json"), store, found.into()).await?;
    let facts: Facts =
        serde_json::from_slice(&content).map_err(|error| Failure::permanent("stored_report_unreadable", error))?;
    let mut files = BTreeMap::from([("json", written)]);
    for format in &asked.formats {
        let (extension, text) = match format {
            Format::Html => ("html", render::html(&facts)?),
            Format::Csv => ("csv", render::csv(&facts)),
        };
        let (written, _) = Artifact::write_once(format!("{name}.{extension}"), store, text.into()).await?;
        files.insert(extension, written);
    }
    Ok(files)
}

/// `reports/<schedule>/<event's id>.<16 digits>`: the same of a replay, another of another group.
fn name(event: &Event, context: &Context<'_>, schedule: &str) -> String {
    let digits = &artifact::digest(&[&context.fence.group, event.source(), event.id()])[..16];
    let (schedule, id) = (artifact::slug(schedule.as_bytes()), artifact::slug(event.id().as_bytes()));
    format!("reports/{schedule}/{id}.{digits}")
}

#[cfg(test)]
mod tests;
