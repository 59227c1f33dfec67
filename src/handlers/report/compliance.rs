//! The compliance report: what is not as its rules say, as it is now.

use super::facts::Section;
use crate::dispatch::{Context, Failure};
use crate::registry::documents::{self, Document};
use crate::store::{EntryFilter, RunFilter, StoredEntry};

/// Of one registry; those that are beyond are said to be there.
const ENTRIES_MAX: usize = 50_000;
const PAGE_ENTRIES: u32 = 500;
/// Each is read with all of its state.
const FAILED_RUNS_MAX: u32 = 100;

/// # Errors
/// As the store.
pub(super) async fn sections(context: &Context<'_>) -> Result<Vec<Section>, Failure> {
    let mut totals = Section::new("checked entries");
    let mut invalid = Section::new("invalid entries");
    let documents = |entry: &StoredEntry| match serde_json::from_value::<Document>(entry.entry.data.clone()) {
        Ok(document) if document.valid => Vec::new(),
        Ok(document) => document.errors,
        Err(error) => vec![error.to_string()],
    };
    check(context, documents::REGISTRY, documents, &mut totals, &mut invalid).await?;
    let rules = &context.services.registries;
    for registry in rules.shaped() {
        let errors = |entry: &StoredEntry| rules.errors(registry, &entry.entry.data);
        check(context, registry, errors, &mut totals, &mut invalid).await?;
    }
    Ok(vec![totals, invalid, failed(context).await?])
}

/// Reads a registry; `errors` says what is wrong with an entry.
async fn check(
    context: &Context<'_>,
    registry: &str,
    errors: impl Fn(&StoredEntry) -> Vec<String>,
    totals: &mut Section,
    invalid: &mut Section,
) -> Result<(), Failure> {
    let (mut seen, mut bad, mut after) = (0, 0, None::<String>);
    loop {
        let filter = EntryFilter::default();
        let page = context.services.store.find_entries(registry, &filter, after.as_deref(), PAGE_ENTRIES).await?;
        for entry in &page.entries {
            seen += 1;
            let errors = errors(entry);
            if !errors.is_empty() {
                bad += 1;
                invalid.add(&format!("{registry}/{}", entry.entry.entry), "errors", errors.join("; "));
            }
        }
        after = page.next;
        if after.is_none() || seen >= ENTRIES_MAX {
            break;
        }
    }
    totals.more |= after.is_some();
    totals.add(registry, "valid", seen - bad);
    totals.add(registry, "invalid", bad);
    Ok(())
}

/// Runs that failed and that nobody has taken up again: `EscalationWorkflow` has told of each.
async fn failed(context: &Context<'_>) -> Result<Section, Failure> {
    let filter = RunFilter { workflow: None, status: Some("failed".to_owned()) };
    let (store, group) = (&context.services.store, &context.fence.group);
    let runs = store.workflow_runs(group, &filter, FAILED_RUNS_MAX).await?;
    let mut failed = Section::new("failed workflows");
    failed.more = runs.len() == FAILED_RUNS_MAX as usize;
    for found in runs {
        let since = jiff::Timestamp::from_millisecond(found.updated_ms).unwrap_or_default();
        failed.add(&found.run.workflow_id, &found.run.workflow, since);
    }
    Ok(failed)
}
