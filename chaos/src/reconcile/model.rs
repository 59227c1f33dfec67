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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Processed,
    DeadLettered,
    Unprocessed,
    Duplicate,
}

impl Ending {
    pub const ALL: [Self; 4] = [Self::Processed, Self::DeadLettered, Self::Unprocessed, Self::Duplicate];

    /// As in the schema of outcomes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::DeadLettered => "dead_lettered",
            Self::Unprocessed => "unprocessed",
            Self::Duplicate => "duplicate",
        }
    }
}

/// What happens to a record that has failed and for which there is no room in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    RetryTopic,
    DeadLetter,
    Halt,
}

/// What the record's route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts before it leaves its place.
    pub in_place: i32,
    /// All attempts.
    pub attempts: i32,
    pub overflow: Overflow,
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
    /// The error class that it has if it is dead-lettered; `None` if it must not be.
    pub class: Option<&'static str>,
    pub policy: Policy,
    /// Whether it derives an event when it is processed.
    pub emits: bool,
    /// Whether it writes a row when it is processed.
    pub writes: bool,
}

/// A record in the topic that is sent to.
#[derive(Clone, Debug)]
pub struct Stored {
    pub place: Place,
    /// [`Sent::sequence`] of the event that it is; repetitions have the same.
    pub sequence: i64,
}

/// What an outcome record says became of a record.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Partition and offset in the audit topic. Those of one event are all in one partition.
    pub at: (i32, i64),
    pub place: Place,
    /// As in the schema: `processed`, `retried_in_place`, …
    pub kind: String,
    /// The error's class, where there is one.
    pub class: Option<String>,
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
        Ending::ALL.into_iter().find(|ending| ending.name() == self.kind)
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
    /// The partition that the event was in, and its epoch under which it was written.
    pub partition: i32,
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
    /// What is in the topic of these, acknowledged or not.
    pub stored: Vec<Stored>,
    pub outcomes: Vec<Outcome>,
    pub receipts: Vec<Receipt>,
    pub forwarded: Vec<Forwarded>,
    pub derived: Vec<Derived>,
    pub rows: Vec<Row>,
    pub positions: Vec<Position>,
}

impl Evidence {
    /// How much of it there is.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        Amounts {
            stored: self.stored.len(),
            outcomes: self.outcomes.len(),
            receipts: self.receipts.len(),
            derived: self.derived.len(),
            rows: self.rows.len(),
            positions: self.positions.len(),
            // One without a position has seen nothing.
            snapshots: self.snapshots.iter().filter(|snapshot| !snapshot.positions.is_empty()).count(),
        }
    }
}

/// How much was read of each kind of evidence. Where there is none of a kind, whatever it is a witness of is not found: such a
/// run says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    pub stored: usize,
    pub outcomes: usize,
    pub receipts: usize,
    pub derived: usize,
    pub rows: usize,
    pub positions: usize,
    pub snapshots: usize,
}

impl Amounts {
    /// Each with its name.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, usize); 7] {
        let Self { stored, outcomes, receipts, derived, rows, positions, snapshots } = *self;
        [
            ("stored", stored),
            ("outcomes", outcomes),
            ("receipts", receipts),
            ("derived", derived),
            ("rows", rows),
            ("positions", positions),
            ("snapshots", snapshots),
        ]
    }

    /// Kinds of which there is none.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.all().into_iter().filter(|(_, amount)| *amount == 0).map(|(name, _)| name)
    }
}
