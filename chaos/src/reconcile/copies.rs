//! Records that the broker has and never acknowledged: a producer that is idempotent may write what it has written again
//! when brokers are lost in between, and tells its caller of the last copy only.
//!
//! Or it does not know of which: a broker that is sent again what it has says so, and not where (offset -1001). It is one of
//! those that nobody was told of.
//!
//! Of the copies of one event the first is the event, wherever its producer was told that it is; the others are duplicates.

use std::collections::{BTreeMap, BTreeSet};

use super::{Ending, Evidence, Place, Sent};

/// What the topic has, against what the producer was told.
pub(super) struct Accounted {
    /// Every record, in the order in which they were sent.
    pub(super) records: Vec<Sent>,
    /// Records that were never acknowledged.
    pub(super) unacknowledged: usize,
    /// Records that were acknowledged, and are not there.
    pub(super) lost_by_broker: usize,
}

/// Places by [`Sent::sequence`].
type Copies<'a> = BTreeMap<i64, BTreeSet<&'a Place>>;

pub(super) fn account(evidence: &Evidence) -> Accounted {
    let mut stored = Copies::new();
    for one in &evidence.stored {
        stored.entry(one.sequence).or_default().insert(&one.place);
    }
    let sent = located(&evidence.sent, &stored);
    let is_there = |sent: &Sent| stored.get(&sent.sequence).is_some_and(|places| places.contains(&sent.place));
    let lost_by_broker = sent.iter().filter(|sent| !is_there(sent)).count();
    let acknowledged: BTreeSet<&Place> = sent.iter().map(|sent| &sent.place).collect();
    let mut unacknowledged = 0;
    let mut records: Vec<Sent> = Vec::with_capacity(evidence.stored.len().max(sent.len()));
    for sent in &sent {
        let begin = records.len();
        records.push(sent.clone());
        if sent.ending == Ending::Duplicate {
            continue;
        }
        let copies = stored.get(&sent.sequence).into_iter().flatten().filter(|place| !acknowledged.contains(*place));
        records.extend(copies.map(|place| Sent { place: (*place).clone(), ..sent.clone() }));
        unacknowledged += records.len() - begin - 1;
        // What has no id cannot be known again, so it ends each time as it has to.
        let first = records[begin..].iter().map(|record| record.place.clone()).min().filter(|_| sent.id.is_some());
        for record in records[begin..].iter_mut().filter(|record| first.as_ref().is_some_and(|it| record.place != *it))
        {
            (record.ending, record.emits, record.writes) = (Ending::Duplicate, false, false);
        }
    }
    Accounted { records, unacknowledged, lost_by_broker }
}

/// Each at its place. One whose place its producer does not know has the first of its copies that no other was told of, and stays
/// nowhere if there is none.
fn located(sent: &[Sent], stored: &Copies<'_>) -> Vec<Sent> {
    let mut taken: BTreeSet<Place> = sent.iter().map(|sent| sent.place.clone()).collect();
    let mut located = sent.to_vec();
    for sent in located.iter_mut().filter(|sent| sent.place.offset < 0) {
        let copies = stored.get(&sent.sequence).into_iter().flatten();
        let free = copies.filter(|copy| copy.partition == sent.place.partition && !taken.contains(**copy));
        if let Some(&place) = free.min() {
            taken.insert(place.clone());
            sent.place = place.clone();
        }
    }
    located
}
