//! Polled records come in: skipped if an earlier owner resolved them, sorted into lanes, or ended at once.

use super::lanes::{LaneState, Lanes};
use super::partition::{Phase, Unsorted};
use super::tracker::{Entry, State};
use super::{
    Arrival, Class, Disposition, Effect, Engine, Epoch, Exhausted, HandlerList, Incident, PartitionId, RouteId, Ticket,
    Time, Verdict,
};
use crate::event::{Identity, NextOffset, Offset};

/// The lane index of records that never enter a lane.
pub(super) const NO_LANE: u32 = u32::MAX;

impl<P: Clone, R> Engine<P, R> {
    /// Polled records of one partition in offset order. Those of a stale epoch are dropped.
    pub fn records(&mut self, now: Time, id: PartitionId, epoch: Epoch, records: Vec<Arrival<P>>) {
        self.input(now);
        let Some(partition) = self.live(id, epoch) else { return };
        let count = records.len() as u64;
        let standing_still = partition.is_leaving() || partition.phase == Phase::Halted;
        self.totals.polled += count;
        if standing_still {
            self.totals.released += count;
            return;
        }
        for record in records {
            self.admit(id, record);
        }
    }

    fn admit(&mut self, id: PartitionId, record: Arrival<P>) {
        let (route, handlers) = match record.verdict {
            Verdict::Routed { route, .. } => (route, self.policy(route).handlers),
            Verdict::Poison | Verdict::Unrecognised => (RouteId(0), HandlerList::default()),
        };
        let Some(partition) = self.partition(id) else { return };
        if record.offset < partition.tracker.next().first() {
            // The client delivered it twice (a seek): it is tracked already.
            self.totals.polled -= 1;
            return;
        }
        let resolved = partition.tracker.is_inherited(record.offset);
        let attempted = partition.take_attempted(record.offset);
        let attempts = attempted.map_or(record.attempts, |known| known.attempts.max(record.attempts));
        let done = record.done | attempted.map_or(0, |known| known.done_of(handlers));
        let counted = !resolved && attempts > record.attempts;
        partition.parked += usize::from(counted);
        let bytes = if resolved { 0 } else { record.bytes };
        let sequence = partition.tracker.push(Entry {
            offset: record.offset,
            state: if resolved { State::Resolved } else { State::Waiting },
            bytes,
            route,
            lane: NO_LANE,
            tenant: record.tenant,
            attempts,
            audited: attempts,
            inherited: record.attempts,
            handlers,
            done,
            audited_done: done,
            counted,
            placeless: false,
            payload: (!resolved).then_some(record.payload),
        });
        if resolved || counted {
            // What the map said of it, the next map says too.
            partition.tracker.start(sequence);
        }
        if let Some(identity) = record.identity.filter(|_| resolved) {
            partition.window.note(identity, record.offset);
        }
        self.hold(id, bytes as usize, !resolved);
        if resolved {
            self.totals.already_resolved += 1;
            self.note_change(id);
            return;
        }
        if let Some(due) = record.not_before.filter(|due| *due > self.now) {
            // Its lane starts with a wait; see `unpark`.
            self.delay(id, sequence, due);
        }
        let unsorted = Unsorted { sequence, identity: record.identity, verdict: record.verdict };
        match self.partition(id).and_then(|partition| partition.unsorted.as_mut()) {
            Some(waiting) => waiting.push_back(unsorted),
            None => self.sort(id, unsorted),
        }
    }

    /// Gives a record its lane, or its end if it needs no handler.
    fn sort(&mut self, id: PartitionId, unsorted: Unsorted) {
        let (window, max_entries) = (self.settings.dedup_window, self.dedup_entries());
        let ordering = match unsorted.verdict {
            Verdict::Routed { route, .. } => Some(self.routes[route.0 as usize].policy.ordering),
            Verdict::Poison | Verdict::Unrecognised => None,
        };
        let crash_deaths = self.settings.crash_deaths;
        let Some(partition) = self.partition(id) else { return };
        let Some(entry) = partition.tracker.entry(unsorted.sequence) else { return };
        let (offset, attempts, route) = (entry.offset, entry.attempts, entry.route);
        let mut first_seen = None;
        if let Some(identity) = unsorted.identity.filter(|_| window > 0) {
            partition.window.trim(offset, window, max_entries);
            first_seen = partition.window.note(identity, offset);
        }
        let end = match (&unsorted.verdict, first_seen) {
            (_, Some(first_seen)) => Some(Disposition::Duplicate { first_seen }),
            (Verdict::Poison, None) => Some(Disposition::DeadLetter { class: Class::Poison }),
            (Verdict::Unrecognised, None) => Some(Disposition::Unprocessed),
            (Verdict::Routed { .. }, None) if partition.suspicion.condemns(offset, crash_deaths) => {
                Some(Disposition::DeadLetter { class: Class::Crash })
            }
            (Verdict::Routed { .. }, None) => None,
        };
        let exhausted = ordering.and_then(|_| self.exhausted(route, attempts));
        if let Some(end) = end {
            self.end_when_there_is_room(id, unsorted.sequence, offset, end);
        } else if exhausted == Some(Exhausted::DeadLetter) {
            let end = Disposition::DeadLetter { class: Class::Transient };
            self.end_when_there_is_room(id, unsorted.sequence, offset, end);
        } else if let (Verdict::Routed { lane, .. }, Some(ordering)) = (unsorted.verdict, ordering) {
            if exhausted == Some(Exhausted::Halt) {
                self.halt(id, unsorted.sequence, offset);
            }
            let Some(partition) = self.partition(id) else { return };
            let key = Lanes::key(ordering, lane, offset);
            let index = partition.lanes.push(key, unsorted.sequence);
            if let Some(entry) = partition.tracker.entry_mut(unsorted.sequence) {
                entry.lane = index;
            }
            self.wake_lane(id, index);
        }
    }

    /// An end needs no handler, but room in the offset map like that of any other record.
    pub(super) fn end_when_there_is_room(&mut self, id: PartitionId, sequence: u64, offset: Offset, end: Disposition) {
        let room = self.map_room();
        let Some(partition) = self.partition(id) else { return };
        let is_next = partition.beyond.front().is_none_or(|(first, ..)| sequence < *first);
        if is_next && partition.tracker.has_room_for(sequence, room) {
            return self.end_at_once(id, sequence, offset, end);
        }
        let Some(entry) = partition.tracker.entry_mut(sequence) else { return };
        let lane = std::mem::replace(&mut entry.lane, NO_LANE);
        if lane != NO_LANE {
            // The routes have changed: it was to run.
            entry.state = State::Waiting;
            partition.lanes.lane_mut(lane).remove(sequence);
            partition.lanes.release_if_empty(lane);
        }
        let index = partition.beyond.partition_point(|(other, ..)| *other < sequence);
        partition.beyond.insert(index, (sequence, offset, end));
        self.relieve(id);
    }

    /// Ends those that waited for room in the offset map, in their order, as far as there is some now.
    pub(super) fn end_those_beyond(&mut self, id: PartitionId) {
        let room = self.map_room();
        while let Some(partition) = self.partition(id).filter(|partition| !partition.is_leaving())
            && let Some((sequence, ..)) = partition.beyond.front()
            && partition.tracker.has_room_for(*sequence, room)
            && let Some((sequence, offset, end)) = partition.beyond.pop_front()
        {
            self.end_at_once(id, sequence, offset, end);
        }
    }

    fn end_at_once(&mut self, id: PartitionId, sequence: u64, offset: Offset, end: Disposition) {
        let crash = matches!(end, Disposition::DeadLetter { class: Class::Crash });
        if crash {
            self.effects.push_back(Effect::Escalate(Incident::Crash { partition: id, offset }));
        }
        let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) else {
            return;
        };
        // Its attempts were reported when it was parked.
        let reported = match &end {
            Disposition::DeadLetter { class: Class::Transient } => true,
            Disposition::Unprocessed => entry.attempts > entry.inherited,
            _ => false,
        };
        // The attempt that the process died in counts: it was started.
        entry.attempts += u32::from(crash);
        if reported {
            self.end_reported(id, sequence, end);
        } else {
            self.end(id, sequence, end, None);
        }
        if crash {
            self.deaths_explained();
        }
    }

    /// Without it every partition of a process that died would run one record at a time for as long as its backlog lasts, and
    /// under load that is for ever.
    fn deaths_explained(&mut self) {
        let ids: Vec<PartitionId> = self.partitions.iter().flatten().map(|partition| partition.id).collect();
        for id in ids {
            if self.partition(id).is_some_and(|partition| partition.suspicion.explained()) {
                self.note_urgent_change(id);
            }
        }
    }

    /// What becomes of a record that has used all its attempts: it was halted, or the policy was lowered since.
    pub(super) fn exhausted(&self, route: RouteId, attempts: u32) -> Option<Exhausted> {
        let policy = self.policy(route);
        (attempts >= policy.retry.max_attempts()).then_some(policy.exhausted)
    }

    /// It stands still at the head of its lane; its last attempt is reported already.
    pub(super) fn halt(&mut self, id: PartitionId, sequence: u64, offset: Offset) {
        if let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) {
            entry.state = State::Halted;
        }
        let incident = Incident::Halted { partition: id, offset, class: Class::Transient };
        self.effects.push_back(Effect::Escalate(incident));
    }

    /// The receipts of all polled records below `up_to` are acknowledged.
    pub fn receipts_acknowledged(&mut self, now: Time, id: PartitionId, epoch: Epoch, up_to: NextOffset) {
        self.input(now);
        if let Some(partition) = self.live(id, epoch) {
            partition.receipts = partition.receipts.max(up_to);
        }
        // Lanes of write-ahead routes wait for it among them.
        self.retry_held_lanes(id);
    }

    /// The identities that [`Effect::RebuildDedup`] asked for, in offset order.
    pub fn dedup_rebuilt(&mut self, now: Time, id: PartitionId, epoch: Epoch, seen: &[(Identity, Offset)]) {
        self.input(now);
        let Some(partition) = self.live(id, epoch) else { return };
        for (identity, offset) in seen {
            partition.window.note(*identity, *offset);
        }
        for unsorted in partition.unsorted.take().into_iter().flatten() {
            self.sort(id, unsorted);
        }
    }

    /// Entries that each partition's window may have: the replica's bound, shared.
    fn dedup_entries(&self) -> usize {
        self.settings.dedup_max_entries / self.windows.max(1)
    }

    /// Puts a lane into its route's queue if its head may run now.
    pub(super) fn wake_lane(&mut self, id: PartitionId, index: u32) {
        let Some(partition) = self.partition(id).filter(|partition| partition.dispatches()) else { return };
        let lane = partition.lanes.lane(index);
        if lane.state != LaneState::Idle {
            return;
        }
        let Some(head) = lane.queue.front().and_then(|sequence| partition.tracker.entry(*sequence)) else { return };
        let (state, route, tenant, epoch) = (head.state, head.route, head.tenant, partition.epoch);
        let lane = partition.lanes.lane_mut(index);
        match state {
            State::Waiting => {
                lane.state = LaneState::Ready;
                self.routes[route.0 as usize].ready.push(tenant, (id, epoch, index));
            }
            State::Parked | State::Suspected | State::Halted => lane.state = LaneState::Blocked,
            State::InFlight | State::Pending | State::Staged(_) | State::Resolved => {}
        }
    }

    /// The partition may dispatch: its lanes go into their routes' queues.
    pub(super) fn wake_all_lanes(&mut self, id: PartitionId) {
        let lanes: Vec<u32> =
            self.partition(id).map_or_else(Vec::new, |partition| partition.lanes.occupied().collect());
        for lane in lanes {
            self.wake_lane(id, lane);
        }
    }

    /// Counts a record as held (I7).
    fn hold(&mut self, id: PartitionId, bytes: usize, waits: bool) {
        let Some(partition) = self.partition(id) else { return };
        partition.buffered.add(1, bytes);
        let paused = partition.paused;
        if waits {
            partition.waiting.add(1, bytes);
        }
        self.buffered.add(1, bytes);
        if waits {
            self.unbalanced = true;
            self.waiting.add(1, bytes);
            if paused {
                self.paused.add(1, bytes);
            }
        }
    }

    /// Pauses partitions in which more than their share waits, resumes those that are below half of it (I7, I8). Together
    /// the shares make two thirds of the bound; the last third is for the partitions that are not paused. What has its
    /// outcome and waits for a commit does not count: it goes by itself, and pausing throws away what was prefetched.
    pub(super) fn balance_pauses(&mut self) {
        if !std::mem::take(&mut self.unbalanced) {
            return;
        }
        let shares = 3 * self.assigned_count.max(1);
        let (records, bytes) = (2 * self.settings.max_records / shares, 2 * self.settings.max_bytes / shares);
        for partition in self.partitions.iter_mut().flatten() {
            if partition.is_leaving() || partition.phase == Phase::Halted {
                continue;
            }
            let waiting = partition.waiting;
            let over = waiting.records > records.max(1) || waiting.bytes > bytes.max(1);
            let under = waiting.records <= records / 2 && waiting.bytes <= bytes / 2;
            if over && !partition.paused {
                partition.paused = true;
                self.paused.add(waiting.records, waiting.bytes);
                self.effects.push_back(Effect::Pause(partition.id));
            } else if under && partition.paused {
                partition.paused = false;
                self.paused.remove(waiting.records, waiting.bytes);
                self.effects.push_back(Effect::Resume(partition.id));
            }
        }
    }

    pub(super) fn ticket(id: PartitionId, epoch: Epoch, offset: Offset, sequence: u64) -> Ticket {
        Ticket { partition: id, epoch, offset, sequence }
    }
}
