//! Wakes: word that a source has something new, so that its connector looks at once instead of at its next poll.
//!
//! A wake carries no event and no position. What is published follows from the source itself and from the source's offsets, so
//! a wake that comes twice, late or for nothing changes nothing, and one that is lost costs time until the next poll only.
//!
//! One record of `coafi.connect.wakes` each, whose key is the [`SourceId`] and which has no value. Every connector follows
//! the whole topic, beside every group: whoever owns the source now takes the wake, and whoever is given it later looks anyway.

use std::time::Duration;

use super::SourceId;
use crate::event::{HeadersBuilder, Outgoing, Record};
use crate::kafka::scan::{Bound, Followed, Follower, Reader, ScanError};

pub const WAKES_TOPIC: &str = "coafi.connect.wakes";

/// Wakes are read from this long before the connector's start: clocks may be apart by as much.
const READ_BACK: Duration = Duration::from_secs(60);

/// The record that wakes a source.
#[must_use]
pub fn wake(source: &SourceId) -> Outgoing {
    Outgoing {
        topic: WAKES_TOPIC.into(),
        partition: None,
        key: Some(source.to_string().into()),
        value: None,
        headers: HeadersBuilder::default().build(),
        timestamp_ms: None,
    }
}

/// Everything that is woken from now on.
#[derive(Debug)]
pub(super) struct Wakes(Follower);

impl Wakes {
    /// # Errors
    /// No thread can be started.
    pub(super) fn follow(reader: &Reader) -> Result<Self, ScanError> {
        let from = jiff::Timestamp::now().checked_sub(READ_BACK).unwrap_or_default();
        Ok(Self(reader.follow(WAKES_TOPIC, Bound::Time(from))?))
    }

    /// The next source of `connector` that is woken, whenever that is; `None` if nothing more will come, which is a bug.
    pub(super) async fn next(&mut self, connector: &str) -> Option<SourceId> {
        loop {
            if let Followed::Record(record) = self.0.next().await?
                && let Some(source) = woken(&record).filter(|source| source.connector == connector)
            {
                return Some(source);
            }
        }
    }
}

/// `None`: somebody else's record.
fn woken(record: &Record) -> Option<SourceId> {
    let (connector, source) = std::str::from_utf8(record.key()?).ok()?.split_once(':')?;
    Some(SourceId::new(connector, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    #[test]
    fn a_wake_names_its_source() {
        let source = SourceId::new("git", "https://host:8080/o/r");
        let outgoing = wake(&source);
        let read =
            |key: Option<&[u8]>| woken(&RecordBuilder::new(key, None, 0).build(WAKES_TOPIC.into(), 0, Offset(0), None));
        assert_eq!(read(outgoing.key.as_deref()), Some(source));
        assert_eq!(read(None), None);
        assert_eq!(read(Some(b"\xff")), None);
        assert_eq!(read(Some(b"git")), None);
    }
}
