//! How large a record may be in which topic.

use std::collections::BTreeMap;

/// What brokers need beside a record in its batch, compression of what cannot be compressed included.
const SLACK_BYTES: usize = 4 << 10;

/// The largest records that topics take, in bytes.
#[derive(Clone, Debug)]
pub struct RecordLimits {
    /// Of a topic that nobody declared: below what brokers allow by default.
    undeclared: usize,
    declared: BTreeMap<String, usize>,
}

impl RecordLimits {
    /// `declared`: `max.message.bytes` by topic, dead-letter and retry topics too. A dead letter is as large as the record
    /// was that its source took, so it needs the limit of its own topic and no common one.
    #[must_use]
    pub fn new(undeclared: usize, declared: BTreeMap<String, usize>) -> Self {
        Self { undeclared, declared }
    }

    #[must_use]
    pub const fn undeclared(&self) -> usize {
        self.undeclared
    }

    #[must_use]
    pub fn of(&self, topic: &str) -> usize {
        self.declared.get(topic).map_or(self.undeclared, |bytes| bytes.saturating_sub(SLACK_BYTES))
    }

    /// Of all topics.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.declared.values().copied().fold(self.undeclared, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_topic_has_its_own_limit() {
        let limits = RecordLimits::new(1_000, [("coafi.git.dlq".to_owned(), 100_000)].into());
        assert_eq!((limits.of("coafi.git.dlq"), limits.of("elsewhere.dlq")), (100_000 - SLACK_BYTES, 1_000));
        assert_eq!((limits.undeclared(), limits.largest()), (1_000, 100_000));
    }
}
