//! Which partition a letter goes back to: the one that its key's records are in, so that its key keeps its order.
//!
//! How a producer chooses partitions is not to be seen: Java's clients hash with murmur2, librdkafka's by default with CRC32,
//! and anybody may choose by hand. What is known is where the letter came from. So it goes back there, whoever its producer is,
//! unless the topic has grown since: then Kafka's own rule sends what a key has written meanwhile elsewhere.
//!
//! | the origin | and | it goes to |
//! |---|---|---|
//! | is known and in the topic | | the origin's partition |
//! | is known and in the topic | the topic has grown since, and its size before explains the origin by murmur2 | where murmur2 puts the key now |
//! | is not known, or has a partition that is gone | | where murmur2 puts the key now; without a key, the first |
//!
//! A size before explains the origin if murmur2 put the key there among so many partitions, and every partition beyond these
//! has nothing from the time of the letter or before, and never had. What cannot be told for sure is no growth.

use crate::bitt::partition_of;
use crate::dispatch::hop::Origin;
use crate::event::NextOffset;
use crate::kafka::scan::{Reader, ScanError, Wanted};

/// Offsets of a partition among which its first record is looked for; before it there may be what was aborted.
const FIRST_AMONG: i64 = 100;

/// Where a letter stood and when it was written there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) origin: Option<&'a Origin>,
    /// `None`: not known, and so before everything.
    pub(super) written_ms: Option<i64>,
}

/// When each partition's first record was written: [`i64::MAX`] where there never was one, `None` where it is not known.
pub(super) type Births = Vec<Option<i64>>;

impl Placed<'_> {
    /// Whether growth of the topic could have taken its key elsewhere, so that [`births`] have to be known.
    pub(super) fn may_have_moved(&self, partitions: i32) -> bool {
        self.key_and_home(partitions).is_some_and(|(key, home)| {
            partition_of(key, partitions) != home && (home + 1..partitions).any(|size| partition_of(key, size) == home)
        })
    }

    /// The partition of a topic of so many. `births`: none if nothing [may have moved](Self::may_have_moved).
    pub(super) fn partition(&self, partitions: i32, births: &Births) -> i32 {
        let Some((key, home)) = self.key_and_home(partitions) else {
            return match (self.key, self.origin) {
                (Some(key), _) => partition_of(key, partitions),
                // Without a key any partition will do, and its own is the best one.
                (None, Some(origin)) if origin.partition < partitions => origin.partition,
                (None, _) => 0,
            };
        };
        let is_younger = |partition: &i32| {
            let birth = usize::try_from(*partition).ok().and_then(|index| births.get(index).copied().flatten());
            birth.is_some_and(|birth| self.written_ms.is_some_and(|written| birth > written))
        };
        let younger = (0..partitions).rev().take_while(is_younger);
        // Of these sizes the topic may have been when the letter was written: growth adds partitions behind the last.
        let was_home = younger.filter(|size| *size > home).any(|size| partition_of(key, size) == home);
        if was_home { partition_of(key, partitions) } else { home }
    }

    fn key_and_home(&self, partitions: i32) -> Option<(&[u8], i32)> {
        let home = self.origin.map(|origin| origin.partition).filter(|home| (0..partitions).contains(home))?;
        Some((self.key?, home))
    }
}

/// Reads when the partitions of a topic began.
///
/// # Errors
/// See [`ScanError`].
pub(super) async fn births(reader: &Reader, topic: &str) -> Result<Births, ScanError> {
    let mut births = Births::new();
    for mut stretch in reader.resolve(Wanted::all(topic)).await? {
        births.push(match (stretch.from.0, stretch.is_empty()) {
            (0, true) => Some(i64::MAX),
            (0, false) => {
                stretch.to = NextOffset(stretch.to.0.min(FIRST_AMONG));
                reader.read(&[stretch])?.next().await?.and_then(|first| first.timestamp_ms())
            }
            // Retention took what was first.
            _ => None,
        });
    }
    Ok(births)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN_MS: i64 = 1_000;
    const LATER: Option<i64> = Some(WRITTEN_MS + 1);

    fn placed(key: Option<&'static [u8]>, origin: Option<i32>, births: &[Option<i64>]) -> i32 {
        let origin = origin.map(|partition| Origin { topic: "t".to_owned(), partition, offset: 7 });
        let placed = Placed { key, origin: origin.as_ref(), written_ms: Some(WRITTEN_MS) };
        let partitions = i32::try_from(births.len()).unwrap();
        let births = if placed.may_have_moved(partitions) { births.to_vec() } else { Births::new() };
        placed.partition(partitions, &births)
    }

    /// A key with this partition of 4, and this one of 6, as Java's clients choose.
    fn key_in(of_4: i32, of_6: i32) -> &'static [u8] {
        let keys = (0..1_000_u32).map(|number| number.to_string().into_bytes());
        let mut fitting = keys.filter(|key| partition_of(key, 4) == of_4 && partition_of(key, 6) == of_6);
        fitting.next().unwrap().leak()
    }

    #[test]
    fn a_letter_goes_back_to_where_it_came_from_whoever_its_producer_is() {
        let old = [Some(1); 6];
        for home in 0..6 {
            assert_eq!(placed(Some(key_in(1, 5)), Some(home), &old), home);
            assert_eq!(placed(None, Some(home), &old), home);
        }
    }

    #[test]
    fn what_a_growth_has_taken_elsewhere_follows_its_key() {
        let key = key_in(1, 5);
        let grown = [Some(1), Some(1), Some(1), Some(1), LATER, Some(i64::MAX)];
        assert_eq!(placed(Some(key), Some(1), &grown), 5);
        assert_eq!(placed(Some(key), Some(5), &grown), 5, "it was written after the growth");
        // Another producer's: neither 4 partitions nor 5 explain it.
        let home = (0..4).find(|home| ![4, 5].map(|size| partition_of(key, size)).contains(home)).unwrap();
        assert_eq!(placed(Some(key), Some(home), &grown), home);
        // Of 5 partitions it is unknown whether they are new.
        let unknown = [Some(1), Some(1), Some(1), Some(1), LATER, None];
        assert_eq!(placed(Some(key), Some(1), &unknown), 1);
    }

    #[test]
    fn without_an_origin_in_the_topic_a_key_decides() {
        let old = [Some(1); 6];
        let key = key_in(1, 5);
        assert_eq!(placed(Some(key), None, &old), 5);
        assert_eq!(placed(Some(key), Some(6), &old), 5);
        assert_eq!(placed(Some(key), Some(-1), &old), 5);
        assert_eq!((placed(None, None, &old), placed(None, Some(6), &old)), (0, 0));
    }
}
