//! Kafka's group coordinator with the cooperative protocol. It fences by member and generation and never by ownership: a
//! current member may commit offsets of a partition that it does not own, as on a real broker (I4).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coafi_core::engine::{PartitionId, Time};

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// A member that is silent for longer is removed from the group.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Member {
    process: u64,
    /// The generation that it was told, and the one that it has heard of.
    told: u64,
    heard: u64,
    /// What it was told to give up and has not given up yet.
    revoking: BTreeSet<PartitionId>,
    silent_since: Option<Time>,
    leaving: bool,
}

/// What a member hears at the end of a rebalance.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) member: MemberId,
    pub(crate) process: u64,
    pub(crate) generation: u64,
    pub(crate) revoke: Vec<PartitionId>,
    pub(crate) assign: Vec<PartitionId>,
}

#[derive(Debug)]
pub(crate) struct Coordinator {
    partitions: Vec<PartitionId>,
    generation: u64,
    members: BTreeMap<MemberId, Member>,
    owners: BTreeMap<PartitionId, MemberId>,
    rebalance_wanted: bool,
    shuffle: bool,
    next_member: u64,
}

impl Coordinator {
    pub(crate) fn new(partitions: Vec<PartitionId>) -> Self {
        Self {
            partitions,
            generation: 0,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            rebalance_wanted: false,
            shuffle: false,
            next_member: 0,
        }
    }

    pub(crate) fn join(&mut self, process: u64) -> MemberId {
        self.next_member += 1;
        let id = MemberId(self.next_member);
        let member =
            Member { process, told: 0, heard: 0, revoking: BTreeSet::new(), silent_since: None, leaving: false };
        self.members.insert(id, member);
        self.rebalance_wanted = true;
        id
    }

    /// The member says that it gets ready to leave: it is given nothing more.
    pub(crate) fn leaving(&mut self, member: MemberId) {
        if let Some(member) = self.members.get_mut(&member) {
            member.leaving = true;
        }
    }

    pub(crate) fn remove(&mut self, member: MemberId) {
        if self.members.remove(&member).is_some() {
            self.owners.retain(|_, owner| *owner != member);
            self.rebalance_wanted = true;
        }
    }

    pub(crate) fn silent(&mut self, member: MemberId, now: Time) {
        if let Some(member) = self.members.get_mut(&member) {
            member.silent_since.get_or_insert(now);
        }
    }

    /// Whether the member is still one.
    pub(crate) fn heartbeat(&mut self, member: MemberId) -> bool {
        self.members.get_mut(&member).map(|member| member.silent_since = None).is_some()
    }

    pub(crate) fn expire_sessions(&mut self, now: Time) {
        let expired = |member: &Member| member.silent_since.is_some_and(|since| now - since >= SESSION_TIMEOUT);
        let gone: Vec<_> = self.members.iter().filter(|(_, member)| expired(member)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|member| self.remove(member));
    }

    pub(crate) fn is_member(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// Whether an offset commit with this member and generation is taken. Nobody asks who owns what.
    pub(crate) fn accepts(&self, member: MemberId, generation: u64) -> bool {
        self.is_member(member) && generation == self.generation
    }

    pub(crate) fn released(&mut self, member: MemberId, partition: PartitionId) {
        if self.owners.get(&partition) == Some(&member) {
            self.owners.remove(&partition);
            self.rebalance_wanted = true;
        }
        if let Some(member) = self.members.get_mut(&member) {
            member.revoking.remove(&partition);
        }
    }

    /// A topic of the group has a partition more.
    pub(crate) fn add_partition(&mut self, partition: PartitionId) {
        self.partitions.push(partition);
        self.rebalance_wanted = true;
    }

    pub(crate) fn owner(&self, partition: PartitionId) -> Option<MemberId> {
        self.owners.get(&partition).copied()
    }

    pub(crate) fn want_rebalance(&mut self) {
        self.rebalance_wanted = true;
        self.shuffle = true;
    }

    pub(crate) fn rebalance_wanted(&self) -> bool {
        self.rebalance_wanted
    }

    pub(crate) fn heard(&mut self, member: MemberId, generation: u64) {
        if let Some(member) = self.members.get_mut(&member) {
            member.heard = generation;
        }
    }

    /// Ends the rebalance if every member has joined it: one that is silent, still draining, or has not heard of the last
    /// one holds it up, as in Kafka.
    pub(crate) fn complete_rebalance(&mut self, random: &mut Random) -> Vec<Sync> {
        let joined = |member: &Member| {
            member.silent_since.is_none() && member.revoking.is_empty() && member.heard == member.told
        };
        if !self.members.values().all(joined) {
            return Vec::new();
        }
        self.rebalance_wanted = false;
        self.generation += 1;
        let targets = self.targets(random);
        let mut syncs: BTreeMap<MemberId, Sync> = BTreeMap::new();
        for (id, member) in &mut self.members {
            member.told = self.generation;
            let (process, generation) = (member.process, self.generation);
            syncs.insert(*id, Sync { member: *id, process, generation, revoke: Vec::new(), assign: Vec::new() });
        }
        for (partition, target) in targets {
            match self.owners.get(&partition).copied() {
                Some(owner) if owner == target => {}
                Some(owner) => {
                    self.members.get_mut(&owner).expect("owners are members").revoking.insert(partition);
                    syncs.get_mut(&owner).expect("one per member").revoke.push(partition);
                }
                None => {
                    self.owners.insert(partition, target);
                    syncs.get_mut(&target).expect("one per member").assign.push(partition);
                }
            }
        }
        syncs.into_values().collect()
    }

    /// Sticky and balanced; a shuffle takes a partition from a member first.
    fn targets(&mut self, random: &mut Random) -> BTreeMap<PartitionId, MemberId> {
        let takers: Vec<MemberId> = self.members.iter().filter(|(_, m)| !m.leaving).map(|(id, _)| *id).collect();
        if takers.is_empty() {
            return BTreeMap::new();
        }
        let limit = self.partitions.len().div_ceil(takers.len());
        let moved = std::mem::take(&mut self.shuffle).then(|| random.pick(&self.partitions));
        let mut load: BTreeMap<MemberId, usize> = takers.iter().map(|id| (*id, 0)).collect();
        let mut targets = BTreeMap::new();
        for partition in &self.partitions {
            if let Some(owner) = self.owners.get(partition)
                && moved != Some(*partition)
                && load.get(owner).is_some_and(|load| *load < limit)
            {
                *load.get_mut(owner).expect("just seen") += 1;
                targets.insert(*partition, *owner);
            }
        }
        for partition in &self.partitions {
            if !targets.contains_key(partition) {
                let avoid = if takers.len() > 1 { self.owners.get(partition) } else { None };
                let choice = load.iter().filter(|(id, _)| Some(*id) != avoid).min_by_key(|(_, load)| **load);
                let taker = *choice.expect("there is a taker").0;
                *load.get_mut(&taker).expect("just seen") += 1;
                targets.insert(*partition, taker);
            }
        }
        targets
    }
}
