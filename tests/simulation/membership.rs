//! A process in its group: partitions assigned, revoked, released, lost.

use coafi_core::engine::offset_map::OffsetMap;
use coafi_core::engine::{Assignment, Epoch, PartitionId};

use crate::checks::{Checked, ensure};
use crate::coordinator::{MemberId, Sync};
use crate::replica::{Held, Input, Process};
use crate::world::{World, map_identity};

impl Process {
    pub(crate) fn synced(&mut self, world: &mut World, sync: Sync) {
        if sync.member != self.member {
            return;
        }
        world.coordinator.heard(self.member, sync.generation);
        self.generation = sync.generation;
        let mut revoke = Vec::new();
        for partition in sync.revoke {
            self.expected.remove(&partition);
            match self.held.get_mut(&partition) {
                Some(held) => {
                    held.revoked_at.get_or_insert(world.now);
                    self.custody.revoked(partition);
                    revoke.push(partition);
                }
                None => world.coordinator.released(self.member, partition),
            }
        }
        if !revoke.is_empty() {
            self.engine.revoked(world.now, &revoke);
        }
        if !self.shutting_down {
            for partition in sync.assign {
                self.expected.insert(partition);
                self.soon(world, Input::FetchOffsets(partition));
            }
        }
    }

    pub(crate) fn fetch_offsets(&mut self, world: &mut World, partition: PartitionId) {
        if !self.expected.contains(&partition) {
            return;
        }
        // A commit of its own that is under way would move the position after it was read.
        let moving = self.commit.as_ref().is_some_and(|commit| commit.names(partition));
        let Some(committed) = world.broker.committed(partition).ok().filter(|_| !moving) else {
            let delay = world.random.millis(20, 100);
            return self.later(world, delay, Input::FetchOffsets(partition));
        };
        self.expected.remove(&partition);
        let claim = world.services.claim(partition);
        let assignment = Assignment {
            partition,
            position: committed.position,
            metadata: &committed.metadata,
            identity: map_identity(partition),
            claim: Some(claim),
            log_start: world.broker.log_start(partition),
            continue_after_loss: world.profile.continue_after_loss,
            deduplicated: true,
        };
        let epoch = self.engine.assigned(world.now, &assignment);
        world.note(|| format!("p{} assigned  {} at {} epoch {}", self.id, partition.0, committed.position, epoch.0));
        let map = OffsetMap::decode(&committed.metadata, map_identity(partition), committed.position);
        let map = map.unwrap_or_default();
        if let Some(named) = map.running.filter(|_| map.dirty > 0) {
            world.truth.named_by_a_death(partition, named);
        }
        self.custody.assigned(partition, epoch, map.resolved);
        let held = Held {
            epoch,
            claim,
            fetch: committed.position,
            reported_end: None,
            paused: false,
            revoked_at: None,
            receipts_at: world.now,
        };
        self.held.insert(partition, held);
    }

    pub(crate) fn evicted(&mut self, world: &mut World, member: MemberId) {
        if member != self.member {
            return;
        }
        self.expected.clear();
        self.lose_everything(world);
        self.generation = 0;
        if !self.shutting_down {
            self.member = world.coordinator.join(self.id);
        }
    }

    /// A claim that is not the newest is either a zombie's, which will hear of it, or was overtaken by one: a member that
    /// woke and claimed before it heard that it is none. Giving the partition up and taking it again claims anew.
    pub(crate) fn refused(&mut self, world: &mut World, partition: PartitionId, epoch: Epoch) {
        let current = self.held.get(&partition).is_some_and(|held| held.epoch == epoch && held.revoked_at.is_none());
        if !current || self.shutting_down {
            return;
        }
        self.held.remove(&partition);
        self.custody.dropped(partition);
        world.truth.owner_died(partition, None);
        self.engine.lost(world.now, &[partition]);
        self.expected.insert(partition);
        self.soon(world, Input::FetchOffsets(partition));
    }

    /// Every partition is gone already.
    pub(crate) fn lose_everything(&mut self, world: &mut World) {
        let partitions: Vec<_> = std::mem::take(&mut self.held).into_keys().collect();
        for partition in &partitions {
            world.truth.owner_died(*partition, None);
            self.custody.dropped(*partition);
        }
        self.engine.lost(world.now, &partitions);
    }

    /// I4: what is given up has nothing running and nothing half-committed, unless it took too long.
    pub(crate) fn release(&mut self, world: &mut World, partitions: &[PartitionId]) -> Checked {
        for partition in partitions {
            let held = self.held.remove(partition);
            let Some(revoked_at) = held.as_ref().and_then(|held| held.revoked_at) else {
                return ensure(false, "I4", || format!("partition {} is released; it was not revoked", partition.0));
            };
            let in_time = world.now - revoked_at <= world.profile.settings.drain_timeout;
            ensure(!in_time || !self.custody.runs_anything_of(*partition), "I4", || {
                format!("partition {} is released while a handler runs", partition.0)
            })?;
            let half_committed = in_time && self.staged.iter().any(|output| output.ticket.partition == *partition);
            ensure(!half_committed, "I4", || format!("partition {} is released before its commit", partition.0))?;
            self.custody.dropped(*partition);
            world.coordinator.released(self.member, *partition);
        }
        Ok(())
    }
}
