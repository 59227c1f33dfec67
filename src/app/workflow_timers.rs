//! What workflows wait for: the events of attempts whose time has come. An attempt is done once, however often it is published.

use std::sync::Arc;

use super::due::{Due, Failed, LEASE, source_event};
use crate::connectors::NewSourceEvent;
use crate::dispatch::Services;
use crate::handlers::workflow::events;
use crate::store::{DueTimer, StoreError};
use crate::workflow::Path;

/// The timers of one group.
pub(super) struct WorkflowTimers {
    pub(super) services: Arc<Services>,
    pub(super) group: String,
}

impl Due for WorkflowTimers {
    const WHAT: &'static str = "attempts of workflows";
    const TAKEN_MAX: u32 = 100;
    /// Each has some hundred bytes.
    const AT_ONCE: usize = Self::TAKEN_MAX as usize;

    type Item = DueTimer;

    async fn take(&self) -> Result<Vec<DueTimer>, StoreError> {
        self.services.store.lease_timers(&self.group, Self::TAKEN_MAX, LEASE).await
    }

    async fn event(&self, timer: &DueTimer) -> Result<Option<NewSourceEvent>, Failed> {
        // A run that is gone waits for nothing.
        let Some(stored) = self.services.store.workflow_run(&self.group, &timer.workflow_id).await? else {
            return Ok(None);
        };
        let run = stored.run;
        let step = Path::of(&timer.step);
        let new = events::step(&self.services.codec, &run.workflow, &run.workflow_id, 0, &step, timer.attempt).await?;
        let utids = run.utids.as_deref().unwrap_or_default().split(',').filter(|utid| !utid.is_empty());
        Ok(Some(source_event(new, run.correlation_id, utids.map(str::to_owned).collect())))
    }

    async fn done(&self, timers: &[DueTimer]) -> Result<(), StoreError> {
        let published: Vec<String> = timers.iter().map(|timer| timer.event_id.clone()).collect();
        self.services.store.delete_timers(&self.group, &published).await
    }
}
