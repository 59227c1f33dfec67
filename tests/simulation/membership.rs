//! A process in its group: partitions assigned, revoked, released, lost.

use coafi_core::engine::offset_map::{Attempted, OffsetMap};
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
                    held.revoked_at.get_or_insert(self.clock.engine(world.now));
                    self.custody.revoked(partition);
                    revoke.push(partition);
                }
                None => world.coordinator.released(self.member, partition),
            }
        }
        if !revoke.is_empty() {
            self.engine.revoked(self.clock.engine(world.now), &revoke);
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
        let moving = self.commits(partition);
        let Some(committed) = world.broker.committed(partition).ok().filter(|_| !moving) else {
            let delay = world.random.millis(20, 100);
            return self.later(world, delay, Input::FetchOffsets(partition));
        };
        self.expected.remove(&partition);
        if world.broker.log_start(partition) > committed.position && self.behind_retention != Some(partition) {
            world.sighted("retention passed a dead owner's position");
        }
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
        let epoch = self.engine.assigned(self.clock.engine(world.now), &assignment);
        world.note(|| format!("p{} assigned  {} at {} epoch {}", self.id, partition.0, committed.position, epoch.0));
        let map = OffsetMap::decode(&committed.metadata, map_identity(partition), committed.position);
        // What a zombie begins from is nobody's: the owner's next commit undoes it.
        if committed.by_a_stranger && world.coordinator.owner(partition) == Some(self.member) {
            world.sighted(match &map {
                Some(_) => "an older position with its own map was read",
                None if committed.metadata.starts_with("coafi1:") => "a map of another position was read",
                None => "foreign metadata was read",
            });
            world.broker.taken_over(partition);
            world.truth.moved_by_a_stranger(partition, committed.position, map.as_ref());
        }
        let map = map.unwrap_or_default();
        if !map.attempts.is_empty() {
            world.sighted("attempts of a parked record were read by the next owner");
        }
        let routing = world.truth.routings.version(self.version);
        let others = |known: &&Attempted| {
            let message = world.broker.message(partition, known.offset);
            let list = message.map(|message| routing.policy(message.payload.kind).handlers.fingerprint());
            known.list != 0 && list.is_some_and(|list| list != known.list)
        };
        if map.attempts.iter().any(|known| others(&known)) {
            world.sighted("attempts of other handlers were read by the next owner");
        }
        if let Some(named) = map.running.filter(|_| map.dirty > 0) {
            world.truth.named_by_a_death(partition, named);
        }
        self.custody.assigned(partition, epoch, map.resolved);
        // Where retention has passed the position, the engine has seen that, and reading goes on at what there is.
        let fetch = committed.position.max(world.broker.log_start(partition));
        self.held.insert(partition, Held::new(epoch, claim, fetch, world.now));
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
        self.take_again(world, partition);
    }

    /// There is nothing to read at the position any more: the partition begins anew from what is committed, and what is
    /// lost between that and what there is gets known (I10).
    pub(crate) fn out_of_range(&mut self, world: &mut World, partition: PartitionId, epoch: Epoch) {
        let current = self.held.get(&partition).is_some_and(|held| held.epoch == epoch && held.revoked_at.is_none());
        if current && !self.shutting_down {
            world.sighted("retention passed a running reader");
            self.behind_retention = Some(partition);
            self.take_again(world, partition);
        }
    }

    fn take_again(&mut self, world: &mut World, partition: PartitionId) {
        self.held.remove(&partition);
        self.drop_custody(world, partition);
        self.engine.lost(self.clock.engine(world.now), &[partition]);
        self.expected.insert(partition);
        self.soon(world, Input::FetchOffsets(partition));
    }

    /// It goes on after a freeze, as if no time had passed.
    pub(crate) fn thaw(&mut self, world: &mut World) {
        if world.coordinator.heartbeat(self.member) {
            return;
        }
        let moved = |partition: &PartitionId| world.coordinator.owner(*partition).is_some();
        if self.held.keys().any(moved) {
            world.sighted("a zombie woke after its partitions had moved");
        }
        self.soon(world, Input::Evicted(self.member));
    }

    /// Every partition is gone already.
    pub(crate) fn lose_everything(&mut self, world: &mut World) {
        let partitions: Vec<_> = std::mem::take(&mut self.held).into_keys().collect();
        partitions.iter().for_each(|partition| self.drop_custody(world, *partition));
        self.engine.lost(self.clock.engine(world.now), &partitions);
    }

    /// It is lost; what runs has to be stopped.
    fn drop_custody(&mut self, world: &mut World, partition: PartitionId) {
        world.truth.owner_died(partition, None);
        if let Some(epoch) = self.custody.epoch_with_handlers(partition) {
            self.to_stop.insert((partition, epoch));
        }
        self.custody.dropped(partition);
    }

    /// I4: what is given up has nothing running and nothing half-committed, unless it took too long.
    pub(crate) fn release(&mut self, world: &mut World, partitions: &[PartitionId]) -> Checked {
        for partition in partitions {
            let held = self.held.remove(partition);
            let Some(revoked_at) = held.as_ref().and_then(|held| held.revoked_at) else {
                return ensure(false, "I4", || format!("partition {} is released; it was not revoked", partition.0));
            };
            let in_time = self.clock.engine(world.now) - revoked_at <= world.profile.settings.drain_timeout;
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
