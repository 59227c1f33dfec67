//! Everything that is known of a group, put together.

use crate::kafka::{GroupFacts, Member, PartitionOffsets};
use crate::schema::payloads::{ReplicaPartition, ReplicaStatus};

/// A report that is older than this tells of the past: replicas report every second.
const STALE_AFTER_MS: i64 = 5_000;

/// A group at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub group: &'a str,
    pub facts: &'a GroupFacts,
    pub reports: &'a [ReplicaStatus],
    pub now_ms: i64,
}

/// Who has a partition.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// A member that says what it does.
    Known { member: Option<&'a Member>, report: &'a ReplicaStatus },
    /// A member that says nothing.
    Silent(&'a Member),
    /// Nobody at present; whoever had it last, if that one has not ended in good order.
    Nobody { last: Option<&'a ReplicaStatus> },
}

impl<'a> View<'a> {
    /// Who has it: Kafka knows members, reports know more. While the group is rebalancing Kafka names nobody, and the
    /// replica that says that it has the partition is believed as long as it reports.
    #[must_use]
    pub fn owner(&self, offsets: &PartitionOffsets) -> Owner<'a> {
        let (topic, partition) = (&offsets.topic, offsets.partition);
        let claims = self.reports.iter().filter(|report| part_of(report, topic, partition).is_some());
        let last = claims.max_by_key(|report| report.reported_at);
        if let Some(member) = self.facts.membership.owner(topic, partition) {
            return match self.report_of(member).or_else(|| last.filter(|last| self.may_be(member, last))) {
                Some(report) => Owner::Known { member: Some(member), report },
                None => Owner::Silent(member),
            };
        }
        match last {
            Some(report)
                if !self.is_stale(report) && report.state != "failed" && self.facts.membership.state != "Empty" =>
            {
                Owner::Known { member: None, report }
            }
            last => Owner::Nobody { last },
        }
    }

    fn report_of(&self, member: &Member) -> Option<&'a ReplicaStatus> {
        self.reports.iter().find(|report| report.slot == member.slot())
    }

    /// Whether the member is the replica that said last that the partition is its own. A `client.id` of the configuration
    /// names no slot, and many replicas may have it in common; then nothing else tells who it is.
    ///
    /// | its client id | the report | |
    /// |---|---|---|
    /// | any | is new | it is: the other one would have given the partition up |
    /// | of a slot, as we name clients | is old | it is not: this slot has reported nothing |
    /// | another | is old | it is: it hangs, or has got the partition just now from one that ended |
    fn may_be(&self, member: &Member, last: &ReplicaStatus) -> bool {
        !self.is_stale(last) || !member.is_named_by_slot()
    }

    /// What the replica that has the partition says of it.
    #[must_use]
    pub fn said(&self, offsets: &PartitionOffsets) -> Option<&'a ReplicaPartition> {
        match self.owner(offsets) {
            Owner::Known { report, .. } => part_of(report, &offsets.topic, offsets.partition),
            Owner::Silent(_) | Owner::Nobody { .. } => None,
        }
    }

    #[must_use]
    pub const fn is_stale(&self, report: &ReplicaStatus) -> bool {
        self.now_ms - report.reported_at > STALE_AFTER_MS
    }
}

/// What a report says of one partition.
pub(super) fn part_of<'a>(report: &'a ReplicaStatus, topic: &str, partition: i32) -> Option<&'a ReplicaPartition> {
    report.partitions.iter().find(|said| said.topic == topic && said.partition == partition)
}
