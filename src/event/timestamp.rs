//! When a record was written, and who says so.

use std::fmt;
use std::str::FromStr;

/// A record's timestamp. As text it is what Kafka's console consumer prints: `CreateTime:1700000000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Milliseconds since the Unix epoch.
    pub ms: i64,
    pub kind: TimestampKind,
}

/// A topic's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The producer's clock.
    CreateTime,
    /// The broker's clock, when it appended the record.
    LogAppendTime,
}

impl TimestampKind {
    /// Kafka's own name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.ms)
    }
}

/// The text was not written by [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp; allowed: CreateTime: or LogAppendTime: and milliseconds")]
pub struct NotATimestamp;

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let (name, ms) = text.split_once(':').ok_or(NotATimestamp)?;
        let kinds = [TimestampKind::CreateTime, TimestampKind::LogAppendTime];
        let kind = kinds.into_iter().find(|kind| kind.name() == name).ok_or(NotATimestamp)?;
        Ok(Self { ms: ms.parse().map_err(|_| NotATimestamp)?, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_comes_back_from_its_text() {
        for (text, timestamp) in [
            ("CreateTime:1700000000000", Ok(Timestamp { ms: 1_700_000_000_000, kind: TimestampKind::CreateTime })),
            ("LogAppendTime:-1", Ok(Timestamp { ms: -1, kind: TimestampKind::LogAppendTime })),
            ("1700000000000", Err(NotATimestamp)),
            ("CreateTime:", Err(NotATimestamp)),
            ("createtime:1", Err(NotATimestamp)),
        ] {
            assert_eq!(text.parse(), timestamp, "{text}");
            assert!(timestamp.is_err() || timestamp.unwrap().to_string() == text);
        }
    }
}
