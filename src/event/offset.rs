//! Positions in a partition. [`Offset`] is *this* record, [`NextOffset`] is what is committed: they never convert
//! implicitly, because Kafka commits the offset after the last resolved record and off-by-one loses or doubles one.

use std::fmt;
use std::sync::Arc;

/// The offset of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

/// The offset of the first record that is not covered: what Kafka calls a committed offset or a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(pub i64);

impl Offset {
    /// The position just after this record.
    #[must_use]
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

impl NextOffset {
    /// The first record that the position does not cover.
    #[must_use]
    pub const fn first(self) -> Offset {
        Offset(self.0)
    }

    /// Whether the position covers `offset`: committed here, `offset` is not read again.
    #[must_use]
    pub const fn covers(self, offset: Offset) -> bool {
        offset.0 < self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic and one of its partitions, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}
