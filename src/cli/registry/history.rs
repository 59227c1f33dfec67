//! `coafi registry history`.

use clap::Args;
use serde_json::{Value, json};

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{PAGE, open, time};
use crate::store::StoredVersion;

/// Of a version's data in the table.
const SHOWN_CHARS: usize = 60;

/// Show the versions of an entry, the newest first: who changed it, when, by which event.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry history parts wing-7
  coafi registry history parts wing-7 --limit 1000 --output json | jq '.versions[].data'
  coafi event show \"$(coafi registry history parts wing-7 --limit 1 --output json | jq -r '.versions[0].eventId')\"

Exit codes: 0 shown, 1 there never was such an entry, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct History {
    /// The registry's name.
    registry: String,
    /// The entry's name.
    entry: String,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let mut versions: Vec<StoredVersion> = Vec::new();
        while versions.len() < self.limit as usize {
            let before = versions.last().map(|last| last.version);
            let wanted = (self.limit - u32::try_from(versions.len()).unwrap_or(self.limit)).min(PAGE);
            let page = store.entry_history(&self.registry, &self.entry, before, wanted).await;
            let page = page.map_err(anyhow::Error::new)?;
            if page.is_empty() {
                break;
            }
            versions.extend(page);
        }
        let last = match versions.len() {
            0 => format!("registry {:?} never had an entry {:?}", self.registry, self.entry),
            count => format!("{count} shown"),
        };
        let rows = versions.iter().map(row).collect();
        let text = table(["version", "changed", "by", "event", "data"], rows, &last);
        let json = json!({
            "registry": self.registry, "entry": self.entry, "versions": versions.iter().map(as_json).collect::<Vec<_>>(),
        });
        context.output().answer(&Answer { json, text, yes: !versions.is_empty() })
    }
}

fn row(version: &StoredVersion) -> [String; 5] {
    let by = version.principal.as_ref().unwrap_or(&version.updated_by).clone();
    let data = version.data.as_ref().map_or_else(|| "(deleted)".to_owned(), ToString::to_string);
    let shown = match data.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &data[..end]),
        None => data,
    };
    [version.version.to_string(), time(version.updated_ms), by, version.event_id.clone(), shown]
}

fn as_json(version: &StoredVersion) -> Value {
    json!({
        "version": version.version,
        "deleted": version.data.is_none(),
        "data": version.data,
        "utids": version.utids,
        "updatedBy": version.updated_by,
        "principal": version.principal,
        "source": version.source,
        "eventId": version.event_id,
        "updatedAt": time(version.updated_ms),
    })
}
