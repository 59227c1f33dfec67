//! How far a partition is behind, split by what its records wait for.

use serde::Serialize;

use super::{Owner, View};
use crate::dispatch::ConsumedTopic;
use crate::kafka::PartitionOffsets;

/// One partition. What only a replica can tell is `None` where none has told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behind {
    pub topic: String,
    pub partition: i32,
    /// The group's position; `None` if it never committed here.
    pub committed: Option<i64>,
    pub end: i64,
    /// Offsets from the position to the end.
    pub lag: u64,
    /// Not polled yet.
    pub unfetched: Option<u64>,
    /// Polled, and waiting for their turn, a free slot or the commit.
    pub waiting: Option<u64>,
    pub in_flight: Option<u64>,
    /// Waiting in place for their next attempt.
    pub parked: Option<u64>,
    /// All that is left in a retry topic, wherever exactly it is there; 0 for other topics.
    pub retrying: u64,
    /// When the oldest unresolved record was written, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// The replica that has it.
    pub replica: Option<String>,
    /// When that one last said so, if that is too long ago for what it said to hold still.
    pub as_of_ms: Option<i64>,
}

/// Every partition, in order of topic and partition.
#[must_use]
pub fn behind(view: &View<'_>) -> Vec<Behind> {
    view.facts.lag.partitions.iter().map(|offsets| of_partition(view, offsets)).collect()
}

fn of_partition(view: &View<'_>, offsets: &PartitionOffsets) -> Behind {
    let lag = offsets.lag();
    let count = |records: i64| u64::try_from(records).unwrap_or(0);
    let is_retry = ConsumedTopic::parse(&offsets.topic).tier.is_some();
    let said = view.said(offsets).filter(|_| !is_retry);
    let (replica, as_of_ms) = match view.owner(offsets) {
        Owner::Known { report, .. } => (Some(report.slot.clone()), view.is_stale(report).then_some(report.reported_at)),
        Owner::Silent(member) => (Some(member.client_id.clone()), None),
        Owner::Nobody { .. } => (None, None),
    };
    let nobody = replica.is_none();
    // What nobody has polled is not fetched.
    let held = |records: Option<i64>| records.map(count).or_else(|| (nobody && !is_retry).then_some(0));
    Behind {
        topic: offsets.topic.clone(),
        partition: offsets.partition,
        committed: offsets.committed,
        end: offsets.end,
        lag,
        unfetched: match said.and_then(|said| said.polled) {
            Some(polled) => Some(count(offsets.end - polled)),
            None => (nobody && !is_retry).then_some(lag),
        },
        waiting: held(said.map(|said| said.waiting)),
        in_flight: held(said.map(|said| said.in_flight)),
        parked: held(said.map(|said| said.parked)),
        retrying: if is_retry { lag } else { 0 },
        oldest_ms: offsets.oldest_ms,
        replica,
        as_of_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{GroupFacts, GroupLag};
    use crate::schema::sample;

    fn offsets(topic: &str, committed: i64, end: i64) -> PartitionOffsets {
        let topic = topic.to_owned();
        PartitionOffsets { topic, partition: 3, committed: Some(committed), start: 0, end, oldest_ms: None }
    }

    fn of(topic: &str, reports: &[crate::schema::payloads::ReplicaStatus]) -> Behind {
        let lag = GroupLag { partitions: vec![offsets(topic, 42, 60)] };
        let facts = GroupFacts { lag, ..GroupFacts::default() };
        let now_ms = sample::replica_status().reported_at + 1_000;
        behind(&View { group: "coafi", facts: &facts, reports, now_ms }).remove(0)
    }

    fn split(behind: &Behind) -> [Option<u64>; 5] {
        [behind.unfetched, behind.waiting, behind.in_flight, behind.parked, Some(behind.retrying)]
    }

    #[test]
    fn what_a_replica_holds_is_split_by_what_it_waits_for() {
        let told = of("coafi.git", &[sample::replica_status()]);
        assert_eq!((told.lag, told.replica.as_deref(), told.as_of_ms), (18, Some("a"), None));
        assert_eq!(split(&told), [Some(10), Some(6), Some(1), Some(1), Some(0)]);
    }

    #[test]
    fn what_nobody_has_is_unfetched_and_what_is_in_a_retry_topic_is_retrying() {
        assert_eq!(split(&of("coafi.git", &[])), [Some(18), Some(0), Some(0), Some(0), Some(0)]);
        assert_eq!(split(&of("coafi.git.retry.5s", &[])), [None, None, None, None, Some(18)]);
    }
}
