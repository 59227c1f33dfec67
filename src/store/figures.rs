//! Figures for reports: how much of what there was in a time. As far back as the rows are kept (`database.inbox_retention`).

mod statements;

use async_trait::async_trait;

use super::StoreError;

/// From `since_ms` until before `until_ms`, milliseconds since the Unix epoch, by the database's clock. What is kept by the
/// second counts by its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub since_ms: i64,
    pub until_ms: i64,
}

/// Runs of one workflow that have one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsOfStatus {
    pub workflow: String,
    pub status: String,
    pub runs: i64,
}

/// What reports ask, in the same database as everything else.
#[async_trait]
pub trait Figures: Send + Sync {
    /// How many events each handler of the group has handled, by the handlers' names; of at most `limit` handlers. Those that
    /// keep no result are not known here.
    async fn handled(&self, group: &str, period: Period, limit: u32) -> Result<Vec<(String, i64)>, StoreError>;

    /// The group's runs that last changed in the period, by workflow and by the status that they have now; at most `limit`
    /// pairs of both.
    async fn runs_by_status(&self, group: &str, period: Period, limit: u32) -> Result<Vec<RunsOfStatus>, StoreError>;
}
