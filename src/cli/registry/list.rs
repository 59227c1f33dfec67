//! `coafi registry list`.

use clap::Args;
use serde_json::json;

use super::super::answer::table;
use super::super::{Answer, Context, Exit, Failure};
use super::{PAGE, entries, listed, open};
use crate::store::{EntryFilter, Requests};

/// List registries, or the entries of one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi registry list
  coafi registry list parts
  coafi registry list parts --prefix wing- --output json | jq -r '.entries[].entry'

Exit codes: 0 listed, 2 the configuration is wrong, 3 the database does not answer.")]
pub(in crate::cli) struct List {
    /// The registry whose entries are listed.
    registry: Option<String>,
    /// Only entries whose names begin with this.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "registry")]
    prefix: String,
    /// Only entries whose names have this in them.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "registry")]
    name: String,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = open(context).await?;
        let Some(registry) = &self.registry else { return self.registries(context, &*store).await };
        let filter = EntryFilter { prefix: self.prefix.clone(), name: self.name.clone(), ..EntryFilter::default() };
        let (found, more) = entries(&*store, registry, &filter, self.limit).await?;
        context.output().answer(&listed(registry, &found, more))
    }

    async fn registries(&self, context: &Context, store: &dyn Requests) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        while found.len() < self.limit as usize {
            let after = found.last().map(|last: &crate::store::RegistrySummary| last.registry.clone());
            let wanted = (self.limit - u32::try_from(found.len()).unwrap_or(self.limit)).min(PAGE);
            let page = store.registries(after.as_deref(), wanted).await.map_err(anyhow::Error::new)?;
            let is_last = page.len() < wanted as usize;
            found.extend(page);
            if is_last {
                break;
            }
        }
        let rows = found.iter().map(|found| [found.registry.clone(), found.entries.to_string()]).collect();
        let registries = found.iter().map(|found| json!({"registry": found.registry, "entries": found.entries}));
        let json = json!({"registries": registries.collect::<Vec<_>>()});
        let last = match found.len() {
            0 => "no registry has an entry".to_owned(),
            count => format!("{count} listed"),
        };
        context.output().answer(&Answer { json, text: table(["registry", "entries"], rows, &last), yes: true })
    }
}
