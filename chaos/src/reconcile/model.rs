//! What the reconciler is given.

use std::fmt;
use std::ops::Range;

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// How a record's way may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Processed,
    DeadLettered,
    Unprocessed,
    Duplicate,
}

/// A record that the broker acknowledged.
#[derive(Clone, Debug)]
pub struct Sent {
    pub place: Place,
    /// CloudEvents id; `None` if it is no event.
    pub id: Option<String>,
    pub key: String,
    /// Place within its key.
    pub sequence: i64,
    /// How it has to end.
    pub ending: Ending,
    /// The policy's limit for it.
    pub max_attempts: i32,
    /// Whether it derives an event when it is processed.
    pub emits: bool,
    /// Whether it writes a row when it is processed.
    pub writes: bool,
}

/// What an outcome record says became of a record.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Partition and offset in the audit topic. Those of one event are all in one partition.
    pub at: (i32, i64),
    pub place: Place,
    /// As in the schema: `processed`, `retried_in_place`, …
    pub kind: String,
    pub attempt: i32,
    /// It repeats an attempt because the record had to leave its place after it.
    pub moved: bool,
    pub epoch: i64,
    pub started_ms: Option<i64>,
    pub ended_ms: i64,
}

impl Outcome {
    /// Whether the record has left its place with it.
    pub(super) fn leaves(&self) -> bool {
        !matches!(self.kind.as_str(), "retried_in_place" | "halted")
    }

    /// The last word about the record, if it is one.
    pub(super) fn ending(&self) -> Option<Ending> {
        match self.kind.as_str() {
            "processed" => Some(Ending::Processed),
            "dead_lettered" => Some(Ending::DeadLettered),
            "unprocessed" => Some(Ending::Unprocessed),
            "duplicate" => Some(Ending::Duplicate),
            _ => None,
        }
    }
}

/// What a receipt covers.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub topic: String,
    pub partition: i32,
    pub offsets: Range<i64>,
    pub ids: Vec<String>,
}

/// Where records are moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    Retry,
    DeadLetter,
    Unprocessed,
}

/// A record in a retry topic, a dead-letter topic or that of unprocessed ones.
#[derive(Clone, Debug)]
pub struct Forwarded {
    pub to: Forward,
    pub place: Place,
    /// Where it was sent to, as its headers say.
    pub origin: Place,
}

/// An event that a handler derived.
#[derive(Clone, Debug)]
pub struct Derived {
    pub place: Place,
    /// Id of the event that it was derived from.
    pub cause: String,
    pub key: String,
    pub sequence: i64,
}

/// A version of a key's registry entry.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: String,
    pub version: i64,
    /// Id of the event that wrote it.
    pub cause: String,
    pub sequence: i64,
    /// How many writes of this key its writer knew of, this one included.
    pub count: i64,
    /// The epoch of the partition under which it was written.
    pub epoch: i64,
}

/// What the group has committed for a partition.
#[derive(Clone, Debug)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    /// Everything below is committed as resolved.
    pub committed: i64,
    /// What the offset map names as resolved above that.
    pub resolved: Vec<Range<i64>>,
}

impl Position {
    pub(super) fn passes(&self, offset: i64) -> bool {
        offset < self.committed || self.resolved.iter().any(|range| range.contains(&offset))
    }
}

/// What was committed at some time of the run, and the places that readers of committed data had seen records leave soon
/// after: whatever these positions pass has to be among them.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub positions: Vec<Position>,
    /// How many of [`Evidence::left`] there were.
    pub left: usize,
}

/// Everything that there is to see.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Places that records have left, in the order in which that was seen during the run.
    pub left: Vec<Place>,
    pub snapshots: Vec<Snapshot>,
    pub sent: Vec<Sent>,
    pub outcomes: Vec<Outcome>,
    pub receipts: Vec<Receipt>,
    pub forwarded: Vec<Forwarded>,
    pub derived: Vec<Derived>,
    pub rows: Vec<Row>,
    pub positions: Vec<Position>,
}
