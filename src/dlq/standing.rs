//! Where the group whose outcomes count stands: whether what was sent long ago is lost, or only waits for its turn.

use std::time::Duration;

use super::Refusal;
use crate::kafka::PartitionOffsets;
use crate::schema::payloads::{LetterState, LetterStatus, Place};

/// A consumer group and its positions, as they were before its outcomes were looked for: what it has passed by then has its
/// outcome in the audit topic, or will never have one.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub group: String,
    /// Of the topics that letters are sent to; none where nobody asks what is lost.
    pub positions: Vec<PartitionOffsets>,
}

impl Standing {
    /// Whether it was sent longer ago than `after`, nobody has seen an outcome, and none will come.
    ///
    /// # Errors
    /// It is still to be handled, so that whatever is done with it would be done twice.
    pub(super) fn is_lost(&self, state: &LetterState, after: Duration, now_ms: i64) -> Result<bool, Refusal> {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        if state.status != LetterStatus::Redriving || now_ms.saturating_sub(state.since) < after_ms {
            return Ok(false);
        }
        match state.sent_to.as_ref().and_then(|place| Some((place, self.still_before(place)?))) {
            None => Ok(true),
            Some((place, position)) => {
                let (place, group) = (place.to_string(), self.group.clone());
                Err(Refusal::StillToCome { place, group, position })
            }
        }
    }

    /// Where the group stands, if it has not passed this place yet.
    ///
    /// | the place is | then |
    /// |---|---|
    /// | below the position | it was passed |
    /// | at or above the position | it is still to come, or resolved out of order: then it is passed soon |
    /// | not in the topic: behind its end, before its beginning, in no partition of it | it never comes: the topic was made anew, or retention took it |
    fn still_before(&self, place: &Place<'_>) -> Option<i64> {
        let is_it = |at: &&PartitionOffsets| at.topic == place.topic && at.partition == place.partition;
        let at = self.positions.iter().find(is_it)?;
        let position = at.committed.unwrap_or(at.start).max(at.start);
        (position..at.end).contains(&place.offset).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_group_has_not_reached_is_not_lost() {
        let place = |topic: &str, partition, offset| Place { topic: topic.to_owned().into(), partition, offset };
        let standing = |committed| {
            let (topic, partition, oldest_ms) = ("coafi.git".to_owned(), 1, None);
            let positions = vec![PartitionOffsets { topic, partition, committed, start: 10, end: 30, oldest_ms }];
            Standing { group: "coafi".to_owned(), positions }
        };
        for (committed, at, expected) in [
            (Some(20), place("coafi.git", 1, 19), None),
            (Some(20), place("coafi.git", 1, 20), Some(20)),
            (Some(20), place("coafi.git", 1, 29), Some(20)),
            (Some(20), place("coafi.git", 1, 30), None),
            (Some(20), place("coafi.git", 2, 25), None),
            (Some(20), place("coafi.ai", 1, 25), None),
            (None, place("coafi.git", 1, 9), None),
            (None, place("coafi.git", 1, 10), Some(10)),
            (Some(3), place("coafi.git", 1, 9), None),
        ] {
            assert_eq!(standing(committed).still_before(&at), expected, "{committed:?} {at}");
        }
        assert_eq!(Standing::default().still_before(&place("coafi.git", 1, 20)), None);
    }
}
