//! Runs go out: ready lanes to workers, within every bound (I3, I7, I8).

use super::fairness::Turn;
use super::lanes::LaneState;
use super::machine::{Route, Timer};
use super::suspicion::Permission;
use super::tracker::State;
use super::{Effect, Engine, Epoch, Job, PartitionId, RouteId, offset_map};

/// A run whose records are slow takes this part of the free slots at most: the others stay for lanes that come later.
const SPARE: usize = 8;

/// What stands between a lane's head and a worker.
enum Head {
    Runs,
    /// It is of a suspect partition: everything else ends first, and it is announced.
    RunsAlone,
    /// The offset map might not hold it: the lane is put aside.
    Held,
    /// The offset map has no place for its attempts, and it is to halt.
    Placeless,
    /// Its receipt is not acknowledged yet, and its route wants that first.
    Unreceipted,
    /// The record before it was dead-lettered, and that is not committed.
    AfterGivenUp,
    /// The lane is not ready any more.
    Gone,
}

impl<P: Clone, R> Engine<P, R> {
    /// Dispatches as long as a lane is ready and a slot is free.
    pub(super) fn dispatch(&mut self) {
        if self.exclusive.is_some() && !self.dispatch_exclusive() {
            return;
        }
        for index in self.routes_in_turn() {
            let route = RouteId(u32::try_from(index).expect("routes are numbered by u32"));
            while self.may_dispatch(route) {
                let Route { ready, policy, .. } = &mut self.routes[index];
                let ((id, epoch, lane), slots) = match ready.next(&policy.tenant, self.now) {
                    Turn::Runs(lane, slots) => (lane, slots),
                    Turn::Waits { tenant, until } => {
                        self.set_timer(until, Timer::Replenished(route, tenant));
                        continue;
                    }
                    Turn::Nobody => break,
                };
                if self.live(id, epoch).is_none_or(|partition| !partition.dispatches()) {
                    continue;
                }
                match self.look_at_head(route, id, lane) {
                    Head::Runs => self.dispatch_run(route, id, lane, slots),
                    Head::RunsAlone => {
                        self.exclusive = Some((id, epoch, lane));
                        self.dispatch_exclusive();
                        return;
                    }
                    Head::Held => self.hold_lane(id, lane),
                    Head::Placeless | Head::Unreceipted | Head::AfterGivenUp => self.put_aside(id, lane),
                    Head::Gone => {}
                }
            }
        }
    }

    fn may_dispatch(&self, route: RouteId) -> bool {
        let Route { policy, in_flight, ready, .. } = &self.routes[route.0 as usize];
        !ready.is_empty()
            && *in_flight < policy.concurrency
            && self.in_flight < self.settings.max_in_flight
            && (self.down.is_empty() || !self.is_down(route))
    }

    /// Bytes of the offset map that its resolved records may take.
    pub(super) fn map_room(&self) -> usize {
        offset_map::room(self.settings.max_parked, self.settings.max_metadata_bytes)
    }

    /// How many attempt counts the offset map holds at most.
    pub(super) fn max_attempted(&self) -> usize {
        self.settings.max_parked + offset_map::MAX_HALTED
    }

    /// Whether records of this partition wait for room in the offset map: their key is free, and a record far below theirs
    /// is unresolved, or they are to halt and the attempts of others take every place.
    #[must_use]
    pub fn window_is_full(&self, id: PartitionId) -> bool {
        let Some(Some(partition)) = self.partitions.get(id.0 as usize) else { return false };
        if !partition.beyond.is_empty() {
            return true;
        }
        let heads = partition.held_lanes.iter().filter_map(|lane| partition.lanes.lane(*lane).queue.front());
        heads.copied().any(|head| {
            !partition.tracker.has_room_for(head, self.map_room()) || partition.lacks_place(head, self.max_attempted())
        })
    }

    fn look_at_head(&mut self, route: RouteId, id: PartitionId, lane: u32) -> Head {
        let (room, max_attempted) = (self.map_room(), self.max_attempted());
        let write_ahead = self.routes[route.0 as usize].policy.write_ahead;
        let Some(partition) = self.partition(id) else { return Head::Gone };
        if partition.lanes.lane(lane).state != LaneState::Ready {
            return Head::Gone;
        }
        let Some(sequence) = partition.lanes.lane(lane).queue.front().copied() else { return Head::Gone };
        let Some(entry) = partition.tracker.entry(sequence) else { return Head::Gone };
        if entry.route != route {
            // It was ready for the head before this one as well: for this one it is in its own route's queue.
            return Head::Gone;
        }
        let offset = entry.offset;
        if !partition.tracker.has_room_for(sequence, room) {
            return Head::Held;
        }
        if partition.lacks_place(sequence, max_attempted) {
            partition.wants_place = true;
            return Head::Placeless;
        }
        if write_ahead && !partition.is_receipted(offset) {
            return Head::Unreceipted;
        }
        if partition.waits_for_an_end(lane) {
            return Head::AfterGivenUp;
        }
        if partition.suspicion.one_at_a_time() { Head::RunsAlone } else { Head::Runs }
    }

    /// The head of the exclusive lane runs when nothing else does in the whole process and its announcement is committed: a
    /// death is then its doing, and not that of a record of another partition. True if others may run.
    fn dispatch_exclusive(&mut self) -> bool {
        let Some((id, epoch, lane)) = self.exclusive else { return true };
        if self.in_flight > 0 {
            return false;
        }
        let head = self
            .live(id, epoch)
            .filter(|partition| partition.dispatches() && partition.suspicion.one_at_a_time())
            .filter(|partition| partition.lanes.lane(lane).state == LaneState::Ready)
            .and_then(|partition| {
                let sequence = partition.lanes.lane(lane).queue.front()?;
                partition.tracker.entry(*sequence).map(|entry| (entry.route, entry.offset))
            });
        let Some((route, offset)) = head.filter(|(route, _)| !self.is_down(*route)) else {
            self.exclusive = None;
            self.withdraw(id, epoch, lane);
            return true;
        };
        match self.live(id, epoch).map(|partition| partition.suspicion.permission(offset)) {
            Some(Permission::Granted) => self.dispatch_run(route, id, lane, 1),
            Some(Permission::Announce) => self.note_urgent_change(id),
            Some(Permission::Wait) | None => {}
        }
        false
    }

    /// A lane that was to run alone waits like the others again.
    fn withdraw(&mut self, id: PartitionId, epoch: Epoch, lane: u32) {
        let Some(partition) = self.live(id, epoch) else { return };
        let announced = partition.suspicion.withdraw();
        if partition.lanes.lane(lane).state == LaneState::Ready {
            partition.lanes.lane_mut(lane).state = LaneState::Idle;
            self.wake_lane(id, lane);
        }
        if announced {
            self.note_change(id);
        }
    }

    fn hold_lane(&mut self, id: PartitionId, lane: u32) {
        self.put_aside(id, lane);
        self.relieve(id);
    }

    fn put_aside(&mut self, id: PartitionId, lane: u32) {
        if let Some(partition) = self.partition(id) {
            partition.lanes.lane_mut(lane).state = LaneState::Held;
            partition.held_lanes.push_back(lane);
        }
    }

    /// Lanes that were put aside try again.
    pub(super) fn retry_held_lanes(&mut self, id: PartitionId) {
        self.end_those_beyond(id);
        let Some(partition) = self.partition(id) else { return };
        for lane in std::mem::take(&mut partition.held_lanes) {
            let Some(partition) = self.partition(id) else { return };
            if partition.lanes.lane(lane).state == LaneState::Held {
                partition.lanes.lane_mut(lane).state = LaneState::Idle;
                self.wake_lane(id, lane);
            }
        }
    }

    /// Hands out the longest run of this lane that one route, one tenant with its `slots`, the free slots, the time of a run
    /// and the offset map allow.
    fn dispatch_run(&mut self, route: RouteId, id: PartitionId, lane: u32, slots: usize) {
        let Route { policy, in_flight, pace, .. } = &self.routes[route.0 as usize];
        let free = (policy.concurrency - in_flight).min(self.settings.max_in_flight - self.in_flight);
        let max_run = self.settings.max_run.min(free).min(slots).min(pace.run().max(free / SPARE));
        let (room, write_ahead) = (self.map_room(), policy.write_ahead);
        let mut tenant = None;
        let Some(partition) = self.partition(id) else { return };
        let epoch = partition.epoch;
        let max_run = if partition.suspicion.one_at_a_time() { 1 } else { max_run };
        let mut run = Vec::new();
        for index in 0..partition.lanes.lane(lane).queue.len().min(max_run) {
            let sequence = partition.lanes.lane(lane).queue[index];
            let Some(entry) = partition.tracker.entry(sequence) else { break };
            let runs = entry.state == State::Waiting
                && entry.route == route
                && *tenant.get_or_insert(entry.tenant) == entry.tenant
                && (!write_ahead || partition.is_receipted(entry.offset));
            if !runs || !partition.tracker.has_room_for(sequence, room) {
                break;
            }
            partition.tracker.start(sequence);
            let Some(entry) = partition.tracker.entry_mut(sequence) else { break };
            entry.state = State::InFlight;
            let payload = entry.payload.clone().expect("a waiting record has its payload");
            let ticket = Self::ticket(id, epoch, entry.offset, sequence);
            run.push(Job { ticket, route, attempt: entry.attempts + 1, done: entry.done, payload });
        }
        partition.in_flight += run.len();
        partition.lanes.lane_mut(lane).state = LaneState::Running(u32::try_from(run.len()).expect("max_run fits"));
        self.in_flight += run.len();
        let Route { policy, in_flight, ready, .. } = &mut self.routes[route.0 as usize];
        *in_flight += run.len();
        ready.started(tenant.unwrap_or_default(), run.len(), &policy.tenant, self.now);
        self.effects.push_back(Effect::Dispatch(run));
    }
}
