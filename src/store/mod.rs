//! The project's database: registry entries, the inbox, partition ownership, requests over HTTP, runs
//! of workflows, notifications. SQLite embedded, Postgres otherwise; one
//! contract (`tests/contract/store.rs`) over both.
//!
//! It refuses to know what a handler does; it keeps two invariants for it: nothing is written under an epoch that is over
//! (I4), and a re-run gets the first run's result (I9).

mod claim;
mod commit;
mod error;
mod failure;
mod figures;
mod notices;
mod open;
mod postgres;
mod registries;
mod requests;
mod sql;
mod sqlite;
mod workflows;

pub use figures::{Figures, Period, RunsOfStatus};
pub use notices::{DueNotices, NewNotice, NoticeGroup, Notices, Said};
pub use open::{Settings, open};
pub use registries::{
    EntriesPage, EntryFilter, HistoryKept, PAGE_CHARS_MAX, Registries, RegistrySummary, SCANNED_MAX, StoredEntry,
    StoredVersion, Unchanged,
};
pub use requests::{KnownRequest, NewRequest, Requests, Reserved, Together};
pub use workflows::{
    CancelAsked, DueTimer, NewTimer, NewWait, RunChange, RunFilter, RunRecord, StepRecord, StoredRun, StoredStep,
    WaitingStep, Workflows,
};

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

/// The right to write for a partition: the epoch that this process claimed when the partition was assigned to it. A
/// handler that wakes up after its partition moved still has the old one, and is refused (I4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub epoch: i64,
}

/// What makes a handler's effect exactly-once: one row per (group, handler, record, run), written with the effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboxKey {
    /// The consumer group: two groups on one database both have effects.
    pub group: String,
    pub handler: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// New for a redrive, a replay or another `kafka.run`, so that those run again.
    pub run: String,
}

/// Where the event stands that a change comes from. Of two events in one partition the one with the higher offset is the
/// newer; nothing is known of two in different partitions or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// A new run begins again at lower offsets, to write anew.
    pub run: String,
    /// The source topic, also for an event that came by way of a retry topic.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Position {
    /// Whether this is known to come after `other`.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        let same = (&self.run, &self.topic, self.partition) == (&other.run, &other.topic, other.partition);
        same && self.offset > other.offset
    }
}

/// A change to one COAFI registry entry.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryChange {
    pub registry: String,
    pub entry: String,
    /// `None` deletes (the history stays).
    pub data: Option<Value>,
    pub utids: Option<String>,
    /// Who asked for it, where somebody did.
    pub principal: Option<String>,
    /// Refuse unless the stored version is this (0: must not exist).
    pub expected_version: Option<i64>,
    /// Refuse unless this is the version of its last change, its deletion too (0: there never was one): the new one is the
    /// next then.
    pub follows: Option<i64>,
    /// Leave the entry as it is if it was last changed or deleted from a position after this one: an event that was retried
    /// is late. Not compared if it is `None`.
    pub position: Option<Position>,
}

impl EntryChange {
    /// Writes the entry, or deletes it, whatever it is; nobody in particular asked for it.
    #[must_use]
    pub fn new(registry: &str, entry: String, data: Option<Value>, utids: Option<String>) -> Self {
        let registry = registry.to_owned();
        Self { registry, entry, data, utids, principal: None, expected_version: None, follows: None, position: None }
    }
}

/// Where an entry stands, without its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryStanding {
    /// Of its last change. A deleted entry keeps its version.
    pub version: i64,
    pub present: bool,
}

impl EntryStanding {
    /// What [`EntryChange::expected_version`] is compared with.
    #[must_use]
    pub const fn visible_version(self) -> i64 {
        if self.present { self.version } else { 0 }
    }
}

/// One current registry entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub registry: String,
    pub entry: String,
    pub version: i64,
    pub data: Value,
    pub utids: Option<String>,
    pub updated_by: String,
}

/// Everything that one handler run changes: one SQL transaction.
#[derive(Clone, Debug)]
pub struct UnitOfWork {
    pub inbox: InboxKey,
    pub fence: Fence,
    pub changes: Vec<EntryChange>,
    /// The workflow's run that is taken on, if one is.
    pub run: Option<RunChange>,
    /// What channels are to be told.
    pub notices: Vec<NewNotice>,
    /// The handler's complete result (a serialised `Success`); given back on a re-run (I9).
    pub result: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// Written now; new version of each changed entry, in order. Of one that was left as it is, the version that it has.
    Written(Vec<i64>),
    /// An earlier run wrote it; its result.
    Already(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or is not as we migrated it (a table is missing): systemic.
    #[error("database {url} is unavailable: {message}")]
    Unavailable { url: String, message: String },
    /// Another process owns the partition by now.
    #[error("{topic}[{partition}] is owned under epoch {current}, this process holds {held}")]
    Fenced { topic: String, partition: i32, held: i64, current: i64 },
    #[error("{registry}/{entry} is at version {current}, expected {expected}")]
    VersionConflict { registry: String, entry: String, expected: i64, current: i64 },
    /// Serialisation failure, deadlock: transient.
    #[error("database conflict: {0}")]
    Conflict(String),
    /// Anything else: what is written or read is wrong by itself, which is a bug.
    #[error("database: {0}")]
    Other(String),
}

#[async_trait]
pub trait Store: Workflows + Notices + Registries + Figures + std::fmt::Debug {
    /// Answers within a second or fails; for `/ready` and probes.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Claims partitions for this process: each gets an epoch above every earlier one and at least `at_least`.
    async fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, StoreError>;

    /// The stored result, if this work was done before.
    async fn inbox(&self, key: &InboxKey) -> Result<Option<Bytes>, StoreError>;

    /// Checks the fence, writes the inbox row and the changes; all or nothing.
    async fn commit(&self, work: UnitOfWork) -> Result<Committed, StoreError>;

    async fn entry(&self, registry: &str, entry: &str) -> Result<Option<Entry>, StoreError>;

    /// The version of an entry's last change, and whether the entry is there; 0 if there never was one.
    async fn standing(&self, registry: &str, entry: &str) -> Result<EntryStanding, StoreError>;

    /// Entries of a registry in order of their names, after `after`, at most `limit`.
    async fn entries(&self, registry: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, StoreError>;

    /// Deletes at most `limit` inbox rows older than this, oldest first, and says how many: fewer than `limit` means that
    /// no more are left. Redelivery of an older event would run its handler again, so keep them for longer than topics do.
    async fn purge_inbox(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError>;
}
