//! Hashes that must be the same in every process and version: an event's identity and a lane's key.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What makes two records the same event: CloudEvents `source` + `id`, and the redrive number (a redriven event is to
/// be handled again). 128 bits, so that a collision, which would drop an event as a duplicate, does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

impl Identity {
    #[must_use]
    pub fn new(source: &str, id: &str, redrive: u32) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&(source.len() as u64).to_le_bytes());
        hasher.update(source.as_bytes());
        hasher.update(id.as_bytes());
        hasher.update(&redrive.to_le_bytes());
        Self(hasher.digest128())
    }
}

/// The hash by which records share a lane.
#[must_use]
pub fn lane_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_source_and_id_counts() {
        assert_ne!(Identity::new("a", "bc", 0), Identity::new("ab", "c", 0));
        assert_ne!(Identity::new("a", "b", 0), Identity::new("a", "b", 1));
        assert_eq!(Identity::new("a", "b", 0), Identity::new("a", "b", 0));
    }

    #[test]
    fn hashes_never_change_between_versions() {
        // As python-xxhash computes it.
        assert_eq!(lane_hash(b"repo-1"), 0x842e_7e5b_e9ee_51ab);
    }
}
