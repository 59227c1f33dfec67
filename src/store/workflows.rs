//! Runs of workflows, their steps and what is due later. A run is written by [`super::Store::commit`] in the transaction of
//! the event that changes it; everything here reads, but for timers.

mod statements;

pub(super) use statements::{millis, postgres, sqlite};

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// What a unit of work changes about one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunChange {
    pub run: RunRecord,
    /// The [`StoredRun::seq`] that it was read with; 0: it must not exist.
    pub expected_seq: i64,
    pub steps: Vec<StepRecord>,
    pub timers: Vec<NewTimer>,
    /// All that its steps wait for from now on; `None`: what they waited for before.
    pub waits: Option<Vec<NewWait>>,
    /// Other runs of the group, which are to end with it.
    pub cancels: Vec<(String, CancelAsked)>,
}

/// Somebody wants a run to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelAsked {
    pub by: String,
    pub reason: String,
}

/// A run as its group keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    pub workflow_id: String,
    pub workflow: String,
    pub version: u32,
    pub digest: String,
    pub definition: String,
    pub status: String,
    /// JSON.
    pub state: String,
    pub correlation_id: String,
    pub tenant_id: Option<String>,
    /// Separated by commas.
    pub utids: Option<String>,
}

/// One attempt of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    pub step: String,
    pub attempt: u32,
    pub kind: String,
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// JSON.
    pub fault: Option<String>,
}

/// An attempt that is due after `delay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTimer {
    pub event_id: String,
    pub step: String,
    pub attempt: u32,
    pub delay: Duration,
}

/// A step that waits for an event of this type, of which the expression gives this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWait {
    pub step: String,
    pub attempt: u32,
    pub event_type: String,
    pub correlate: String,
    pub value: String,
}

/// A step that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingStep {
    pub workflow: String,
    pub workflow_id: String,
    pub step: String,
    pub attempt: u32,
}

/// A run with where it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    pub run: RunRecord,
    pub seq: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// An attempt with its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStep {
    pub step: String,
    pub attempt: u32,
    pub kind: String,
    pub status: String,
    pub fault: Option<String>,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
}

/// Which runs are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub workflow: Option<String>,
    pub status: Option<String>,
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    pub event_id: String,
    pub workflow_id: String,
    pub step: String,
    pub attempt: u32,
}

/// The tables of workflows, in the same database as everything else.
#[async_trait]
pub trait Workflows: Send + Sync {
    async fn workflow_run(&self, group: &str, workflow_id: &str) -> Result<Option<StoredRun>, StoreError>;

    /// Newest first, at most `limit`.
    async fn workflow_runs(&self, group: &str, filter: &RunFilter, limit: u32) -> Result<Vec<StoredRun>, StoreError>;

    /// In the order in which they were started.
    async fn workflow_steps(&self, group: &str, workflow_id: &str) -> Result<Vec<StoredStep>, StoreError>;

    /// Takes timers whose time has come, at most `limit`, for as long as `lease`: nobody else is given them meanwhile.
    async fn lease_timers(&self, group: &str, limit: u32, lease: Duration) -> Result<Vec<DueTimer>, StoreError>;

    /// Their events are published.
    async fn delete_timers(&self, group: &str, event_ids: &[String]) -> Result<(), StoreError>;

    /// The expressions by which steps wait for events of this type, at most `limit`.
    async fn awaited_correlations(&self, group: &str, event_type: &str, limit: u32) -> Result<Vec<String>, StoreError>;

    /// The steps that wait for an event of this type of which the expression gives this value, at most `limit`.
    async fn waiting_steps(
        &self,
        group: &str,
        event_type: &str,
        correlate: &str,
        value: &str,
        limit: u32,
    ) -> Result<Vec<WaitingStep>, StoreError>;

    /// From now on [`Workflows::cancel_asked`] has it, until the run has another status than it has now. Nothing where no run
    /// of this id goes on.
    async fn ask_to_cancel(&self, group: &str, workflow_id: &str, asked: &CancelAsked) -> Result<(), StoreError>;

    /// Who wants the run to end, the last of them.
    async fn cancel_asked(&self, group: &str, workflow_id: &str) -> Result<Option<CancelAsked>, StoreError>;

    /// Deletes at most `limit` runs that ended longer ago than this, with all that belongs to them, and says how many.
    async fn purge_workflow_runs(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;
}
