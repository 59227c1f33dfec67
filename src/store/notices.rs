//! What channels were told, and what waits to be told together. Written by [`super::Store::commit`] in the transaction of the
//! event that asks for it; everything here reads, but for messages that are due.

mod statements;

pub(super) use statements::{postgres, sqlite};

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// What one channel is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotice {
    pub channel: String,
    /// It must not have been told this, and is not told it again for this long.
    pub said: Option<(Said, Duration)>,
    /// Waits with others; else it is told at once, by an event of the same transaction.
    pub group: Option<NoticeGroup>,
}

/// Under which key something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub key: String,
    /// That it is over is another thing to say.
    pub resolved: bool,
}

/// Which message a notification waits for, or begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeGroup {
    pub key: String,
    /// Of the message, if this one begins it.
    pub delivery_id: String,
    pub correlation_id: String,
    pub wait: Duration,
    /// A message with so many is full.
    pub members_max: u32,
    /// JSON.
    pub notification: String,
}

/// A message whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueNotices {
    pub delivery_id: String,
    pub channel: String,
    pub group_key: String,
    pub correlation_id: String,
    /// JSON, in the order in which they came.
    pub notifications: Vec<String>,
}

/// The tables of notifications, in the same database as everything else.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Whether a channel was told this, and is not to be told it again yet.
    async fn was_said(&self, group: &str, channel: &str, said: &Said) -> Result<bool, StoreError>;

    /// Takes messages whose time has come, at most `limit`, for as long as `lease`: nobody else is given them meanwhile, and
    /// nothing joins them any more.
    async fn lease_notices(&self, group: &str, limit: u32, lease: Duration) -> Result<Vec<DueNotices>, StoreError>;

    /// Its event is published.
    async fn delete_notices(&self, group: &str, delivery_id: &str) -> Result<(), StoreError>;

    /// Forgets at most `limit` things that may be said again, and says how many.
    async fn purge_said(&self, limit: u32) -> Result<u64, StoreError>;
}
