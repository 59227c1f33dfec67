//! The status report: what was done in the time, and what there is.

use super::facts::{ROWS_MAX, Section};
use crate::dispatch::{Context, Failure};
use crate::handlers::health_check;
use crate::store::Period;

/// One more than is reported, so that more is known to be there.
const ASKED_MAX: u32 = ROWS_MAX as u32 + 1;

/// # Errors
/// As the store.
pub(super) async fn sections(context: &Context<'_>, period: Period) -> Result<Vec<Section>, Failure> {
    let (store, group) = (&context.services.store, &context.fence.group);
    let mut handled = Section::new("handled events");
    for (handler, events) in store.handled(group, period, ASKED_MAX).await? {
        handled.add(&handler, "events", events);
    }
    let mut workflows = Section::new("workflows");
    for found in store.runs_by_status(group, period, ASKED_MAX).await? {
        workflows.add(&found.workflow, &found.status, found.runs);
    }
    let mut registries = Section::new("registries");
    for found in store.registries(None, ASKED_MAX).await? {
        registries.add(&found.registry, "entries", found.entries);
    }
    let mut health = Section::new("health");
    if let Some(known) = health_check::known(context).await? {
        health.add("coafi", "checked at", known.checked_at);
        for (name, part) in known.parts {
            health.add(&name, "status", part.in_words());
        }
    }
    Ok(vec![handled, workflows, registries, health])
}
