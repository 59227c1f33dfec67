//! Source offsets: how far a connector has published a source, in the compacted topic `coafi.connect.offsets`.
//!
//! One record per part of a source (a branch, say); key `<connector>:<source>:<part>`, value
//! [`SourceOffset`](crate::schema::payloads::SourceOffset) in Confluent wire format, whose `offset` is the connector's own
//! JSON and versioned by it. A tombstone forgets a part. All records of a source are in one partition, chosen by its hash,
//! so that who owns the partition owns the source.

use xxhash_rust::xxh3::xxh3_64;

/// The compacted topic.
pub const OFFSETS_TOPIC: &str = "coafi.connect.offsets";

/// A source of a connector: what is owned, fenced and restarted as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// E.g. `git`.
    pub connector: String,
    /// Its normalised name, e.g. a repository's URL.
    pub source: String,
}

impl SourceId {
    #[must_use]
    pub fn new(connector: &str, source: &str) -> Self {
        Self { connector: connector.to_owned(), source: source.to_owned() }
    }

    /// The partition of [`OFFSETS_TOPIC`] that holds the source's offsets. The same in every version.
    #[must_use]
    pub fn partition(&self, partitions: i32) -> i32 {
        let partitions = u64::try_from(partitions.max(1)).unwrap_or(1);
        i32::try_from(xxh3_64(self.to_string().as_bytes()) % partitions).expect("less than an i32")
    }

    /// The producer's transactional id: one for each source, so that a successor fences its predecessor and nobody else.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        format!("coafi.connect.{self}")
    }

    /// The key of a part's record.
    #[must_use]
    pub fn key(&self, part: &str) -> String {
        format!("{self}:{part}")
    }

    /// The part that a record's key names, if it is one of this source's.
    #[must_use]
    pub fn part_of_key<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(key).ok()?.strip_prefix(&self.to_string())?.strip_prefix(':')
    }
}

impl std::fmt::Display for SourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.connector, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_part_and_its_source_only() {
        let source = SourceId::new("git", "https://host/o/r");
        let key = source.key("refs/heads/a:b");
        assert_eq!(source.part_of_key(key.as_bytes()), Some("refs/heads/a:b"));
        assert_eq!(SourceId::new("git", "https://host/o").part_of_key(key.as_bytes()), None);
    }

    #[test]
    fn a_source_stays_in_its_partition() {
        assert_eq!(
            SourceId::new("git", "file:///srv/b").partition(12),
            SourceId::new("git", "file:///srv/b").partition(12)
        );
        assert_eq!(SourceId::new("git", "file:///srv/b").partition(1), 0);
    }
}
