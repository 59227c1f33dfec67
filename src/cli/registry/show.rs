//! `coafi registry show`.

use clap::Args;
use serde_json::Value;

use super::super::output::cell;
use super::super::{Answer, Context, Exit, Failure};
use super::{as_json, open, time};

/// Show an entry as it is now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry show parts wing-7
  coafi registry show parts wing-7 --output json | jq .data

Exit codes: 0 shown, 1 there is no such entry, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct Show {
    /// The registry's name.
    registry: String,
    /// The entry's name.
    entry: String,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let found = store.stored_entry(&self.registry, &self.entry).await.map_err(anyhow::Error::new)?;
        let Some(stored) = found else {
            let text = format!("registry {:?} has no entry {:?}", self.registry, self.entry);
            return context.output().answer(&Answer { json: Value::Null, text, yes: false });
        };
        let entry = &stored.entry;
        let text = format!(
            "entry    {}/{}\nversion  {}\nchanged  {}\nby       {} ({})\nutids    {}\n\n{}",
            cell(&entry.registry),
            cell(&entry.entry),
            entry.version,
            time(stored.updated_ms),
            cell(stored.principal.as_deref().unwrap_or("-")),
            cell(&entry.updated_by),
            cell(entry.utids.as_deref().unwrap_or("-")),
            serde_json::to_string_pretty(&entry.data).unwrap_or_default(),
        );
        context.output().answer(&Answer { json: as_json(&stored), text, yes: true })
    }
}
