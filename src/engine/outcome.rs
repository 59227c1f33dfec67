//! Attempts end: what becomes of the record, and of its lane.
//!
//! | attempt | class | disposition |
//! |---|---|---|
//! | succeeded, filtered | | processed, filtered |
//! | failed | poison, invalid, permanent, crash | dead letter |
//! | failed | transient | retry in place, then by the tiers' topics, then `exhausted` |
//! | failed | panic, deadline | as transient, at most `fault_attempts` |
//! | failed | systemic | none: the record waits for its dependency, alone or with its route, no attempt is used |
//! | failed | transient, with a time before which nobody should come again | as transient, and not before that |
//! | not started, cancelled | | none: the record waits, no attempt is used |

use super::admission::NO_LANE;
use super::lanes::LaneState;
use super::machine::Timer;
use super::outages::Suspended;
use super::rerouting::NO_ROUTE;
use super::tracker::State;
use super::{
    Attempt, Class, Disposition, Effect, Engine, Exhausted, Finished, Incident, Ordering, Output, Overflow,
    PartitionId, RouteId, RoutePolicy, Ticket, Time, retry,
};

impl<P: Clone, R> Engine<P, R> {
    pub fn finished(&mut self, now: Time, finished: Finished<R>) {
        self.input(now);
        let Ticket { partition: id, epoch, offset, sequence } = finished.ticket;
        let Some(partition) = self.live(id, epoch) else { return };
        let Some(entry) = partition.tracker.entry_mut(sequence).filter(|entry| entry.state == State::InFlight) else {
            return;
        };
        entry.state = State::Waiting;
        entry.done |= finished.done;
        let (route, lane, tenant) = (entry.route, entry.lane, entry.tenant);
        partition.in_flight -= 1;
        let outdated = partition.outdated.remove(&sequence);
        let suspect = partition.suspicion.one_at_a_time();
        if suspect {
            partition.suspicion.came_back(offset);
        }
        self.in_flight -= 1;
        if suspect {
            // The next announcement is committed together with the end of this one, so a death names one record only.
            self.exclusive = None;
            self.note_urgent_change(id);
        }
        if let Some(route) = self.routes.get_mut(route.0 as usize) {
            if finished.verdict == Attempt::NotStarted {
                route.ready.gave_back(tenant, &route.policy.tenant);
            } else {
                route.pace.note(finished.took);
            }
            route.ended(tenant, self.now);
        }
        self.has_asked(id, sequence, &finished.verdict);
        match finished.verdict {
            verdict if route == NO_ROUTE => self.end_unrouted_attempt(id, sequence, &verdict, finished.report),
            Attempt::Succeeded => {
                self.count_attempt(id, sequence);
                self.end(id, sequence, Disposition::Processed, finished.report);
                self.note_success(route);
            }
            Attempt::Filtered => self.end(id, sequence, Disposition::Filtered, finished.report),
            // It asks again under the routes that are in force, which may not need it.
            Attempt::Failed { class: Class::Systemic(dependency), .. }
                if outdated.is_some() && dependency.is_one_of_many() => {}
            Attempt::Failed { class: Class::Systemic(dependency), .. } => {
                self.wait_for_dependency(finished.ticket, route, dependency);
            }
            // Who says when to come again is there: no sign of an outage.
            Attempt::Failed { class: Class::Transient, .. } if !finished.wait.is_zero() => {
                let not_before = self.now + finished.wait.min(retry::ASKED_WAIT_MAX);
                self.failed_until(finished.ticket, Class::Transient, not_before, finished.report);
            }
            Attempt::Failed { class: Class::Transient, code } => {
                let suspended = Suspended { ticket: finished.ticket, class: Class::Transient, report: finished.report };
                self.suspend(route, code, suspended);
            }
            Attempt::Failed { class, .. } => self.failed(finished.ticket, class, finished.report),
            Attempt::NotStarted | Attempt::Cancelled | Attempt::Fenced => {}
        }
        if let Some(began_with) = outdated {
            self.end_outdated(id, sequence, began_with);
        }
        self.run_advanced(id, lane);
    }

    pub(super) fn count_attempt(&mut self, id: PartitionId, sequence: u64) {
        if let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) {
            entry.attempts += 1;
        }
    }

    /// An attempt has failed for good or for now; its number counts.
    pub(super) fn failed(&mut self, ticket: Ticket, class: Class, report: Option<R>) {
        self.failed_until(ticket, class, self.now, report);
    }

    /// As [`Self::failed`], with the time before which the next attempt is not to be made.
    fn failed_until(&mut self, ticket: Ticket, class: Class, not_before: Time, report: Option<R>) {
        let Ticket { partition: id, offset, sequence, .. } = ticket;
        self.count_attempt(id, sequence);
        let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry(sequence)) else { return };
        let (attempts, route) = (entry.attempts, entry.route);
        let random = self.random();
        let policy = &self.routes[route.0 as usize].policy;
        let disposition = next_step(policy, attempts, class, self.now, random).not_before(not_before, policy, self.now);
        match disposition {
            Disposition::RetryInPlace { due, .. } if self.may_park(id, sequence) => {
                self.park(id, sequence, due);
                self.output(id, sequence, disposition, false, report);
                // Lanes that found the window full because of it, while it ran, have the policy decide.
                self.retry_held_lanes(id);
            }
            Disposition::RetryInPlace { class, .. } => {
                let disposition = {
                    let policy = &self.routes[route.0 as usize].policy;
                    overflow(policy, class, self.now).not_before(not_before, policy, self.now)
                };
                self.end_or_halt(id, offset, sequence, disposition, report);
            }
            disposition => self.end_or_halt(id, offset, sequence, disposition, report),
        }
    }

    /// Whether the offset map has room for the record's attempts: it has a place already, or one is free.
    fn may_park(&mut self, id: PartitionId, sequence: u64) -> bool {
        let max_parked = self.settings.max_parked;
        self.partition(id).is_some_and(|partition| partition.has_place(sequence, max_parked))
    }

    /// As [`Self::may_park`], for a record that is to stand still from now on.
    fn may_halt(&mut self, id: PartitionId, sequence: u64) -> bool {
        let max = self.max_attempted();
        self.partition(id).is_some_and(|partition| partition.has_place(sequence, max))
    }

    /// It has to stand still, and the offset map cannot hold its attempts beside so many others: its last one counts for
    /// nothing, and it begins again once there is a place. Its lane waits, so nothing is lost but a handler's start.
    fn wait_for_place(&mut self, id: PartitionId, offset: crate::event::Offset, sequence: u64, class: Class) {
        let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) else {
            return;
        };
        entry.state = State::Waiting;
        entry.attempts -= 1;
        if !std::mem::replace(&mut entry.placeless, true) {
            self.effects.push_back(Effect::Escalate(Incident::Halted { partition: id, offset, class }));
        }
    }

    fn end_or_halt(
        &mut self,
        id: PartitionId,
        offset: crate::event::Offset,
        sequence: u64,
        disposition: Disposition,
        report: Option<R>,
    ) {
        if let Disposition::Halted { class } = &disposition {
            if !self.may_halt(id, sequence) {
                return self.wait_for_place(id, offset, sequence, class.clone());
            }
            if let Some(partition) = self.partition(id) {
                partition.give_place(sequence);
            }
            self.effects.push_back(Effect::Escalate(Incident::Halted { partition: id, offset, class: class.clone() }));
            if let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) {
                entry.state = State::Halted;
            }
            self.output(id, sequence, disposition, false, report);
        } else {
            self.end(id, sequence, disposition, report);
        }
    }

    /// The head waits in place until `due`, with an attempt that the offset map has to carry.
    fn park(&mut self, id: PartitionId, sequence: u64, due: Time) {
        let Some(partition) = self.partition(id) else { return };
        partition.give_place(sequence);
        self.delay(id, sequence, due);
    }

    /// The record waits until `due`.
    pub(super) fn delay(&mut self, id: PartitionId, sequence: u64, due: Time) {
        let Some(partition) = self.partition(id) else { return };
        let epoch = partition.epoch;
        let Some(entry) = partition.tracker.entry_mut(sequence) else { return };
        entry.state = State::Parked;
        let ticket = Self::ticket(id, epoch, entry.offset, sequence);
        self.set_timer(due, Timer::Due(ticket));
    }

    /// A parked record is due.
    pub(super) fn unpark(&mut self, ticket: Ticket) {
        let Some(partition) = self.live(ticket.partition, ticket.epoch) else { return };
        let Some(entry) = partition.tracker.entry_mut(ticket.sequence).filter(|entry| entry.state == State::Parked)
        else {
            return;
        };
        entry.state = State::Waiting;
        let lane = entry.lane;
        if lane != NO_LANE {
            self.unblock(ticket.partition, lane);
        }
    }

    pub(super) fn unblock(&mut self, id: PartitionId, lane: u32) {
        let Some(partition) = self.partition(id) else { return };
        let lane_state = &mut partition.lanes.lane_mut(lane).state;
        if *lane_state == LaneState::Blocked {
            *lane_state = LaneState::Idle;
            self.wake_lane(id, lane);
        }
    }

    /// The record ends: it leaves its lane, and its output goes into a transaction.
    pub(super) fn end(&mut self, id: PartitionId, sequence: u64, disposition: Disposition, report: Option<R>) {
        self.end_with(id, sequence, disposition, false, report);
    }

    /// The record ends after an attempt that was reported before.
    pub(super) fn end_reported(&mut self, id: PartitionId, sequence: u64, disposition: Disposition) {
        self.end_with(id, sequence, disposition, true, None);
    }

    fn end_with(
        &mut self,
        id: PartitionId,
        sequence: u64,
        disposition: Disposition,
        overflow: bool,
        report: Option<R>,
    ) {
        let Some(partition) = self.partition(id) else { return };
        debug_assert!(!partition.awaiting.contains_key(&sequence), "what ends waits for nothing");
        partition.tracker.start(sequence);
        let Some(entry) = partition.tracker.entry_mut(sequence) else { return };
        entry.state = State::Pending;
        let (lane, bytes) = (entry.lane, entry.bytes as usize);
        let given_up = entry.attempts > 0 && matches!(disposition, Disposition::DeadLetter { .. });
        if std::mem::replace(&mut entry.counted, false) {
            partition.parked -= 1;
        }
        let has_place_for_others = std::mem::take(&mut partition.wants_place);
        if lane != NO_LANE {
            partition.lanes.lane_mut(lane).remove(sequence);
            if given_up {
                partition.given_up.insert(partition.lanes.lane(lane).key(), sequence);
            }
        }
        partition.waiting.remove(1, bytes);
        let paused = partition.paused;
        self.waiting.remove(1, bytes);
        if paused {
            self.paused.remove(1, bytes);
            self.unbalanced = true;
        }
        self.output(id, sequence, disposition, overflow, report);
        if has_place_for_others {
            self.retry_held_lanes(id);
        }
    }

    /// Queues an output for the open transaction or the next one.
    fn output(&mut self, id: PartitionId, sequence: u64, disposition: Disposition, overflow: bool, report: Option<R>) {
        let Some(partition) = self.partition(id) else { return };
        let epoch = partition.epoch;
        partition.pending += 1;
        let Some(entry) = partition.tracker.entry_mut(sequence) else { return };
        let payload = if disposition.resolves() { entry.payload.take() } else { entry.payload.clone() };
        let output = Output {
            ticket: Self::ticket(id, epoch, entry.offset, sequence),
            route: (entry.lane != NO_LANE).then_some(entry.route),
            attempt: entry.attempts,
            done: entry.done,
            disposition,
            overflow,
            payload: payload.expect("a record keeps its payload until it ends"),
            report,
        };
        self.transaction.pending.push_back(output);
    }

    /// One record of the lane's run has come back.
    fn run_advanced(&mut self, id: PartitionId, lane: u32) {
        let Some(partition) = self.partition(id) else { return };
        if lane == NO_LANE {
            return;
        }
        let state = &mut partition.lanes.lane_mut(lane).state;
        if let LaneState::Running(records) = *state {
            *state = if records > 1 { LaneState::Running(records - 1) } else { LaneState::Idle };
            if records == 1 {
                if partition.lanes.lane(lane).queue.is_empty() {
                    partition.lanes.release_if_empty(lane);
                } else {
                    self.wake_lane(id, lane);
                }
            }
        }
    }

    /// The offset map's window is full: if its lowest record is parked, it has to leave by the overflow policy. Where that
    /// says halt it keeps its place and its attempts, and the records beyond the window wait for it: nothing would be won by
    /// giving up its retries as well.
    pub(super) fn relieve(&mut self, id: PartitionId) {
        let Some(partition) = self.partition(id) else { return };
        let Some((sequence, entry)) = partition.tracker.head() else { return };
        let retried = entry.attempts > entry.inherited;
        // An outage takes nothing from its place.
        let awaits = partition.awaiting.contains_key(&sequence);
        if entry.state != State::Parked || !retried || awaits || entry.lane == NO_LANE {
            return;
        }
        let (route, lane) = (entry.route, entry.lane);
        let disposition = overflow(&self.routes[route.0 as usize].policy, Class::Transient, self.now);
        if matches!(disposition, Disposition::Halted { .. }) {
            return;
        }
        self.end_reported(id, sequence, disposition);
        self.unblock(id, lane);
        if let Some(partition) = self.partition(id) {
            partition.lanes.release_if_empty(lane);
        }
    }

    /// Policy of a record's route.
    pub(super) fn policy(&self, route: RouteId) -> &RoutePolicy {
        &self.routes[route.0 as usize].policy
    }
}

/// What follows when attempt `attempts` has failed.
fn next_step(policy: &RoutePolicy, attempts: u32, class: Class, now: Time, random: u64) -> Disposition {
    let retry = &policy.retry;
    let limit = match class {
        Class::Transient => retry.max_attempts(),
        Class::Panic | Class::Deadline => retry.max_attempts().min(retry.fault_attempts),
        Class::Poison | Class::Invalid | Class::Permanent | Class::Crash | Class::Systemic(_) => 0,
    };
    if limit == 0 {
        return Disposition::DeadLetter { class };
    }
    if attempts >= limit {
        return match policy.exhausted {
            Exhausted::DeadLetter => Disposition::DeadLetter { class },
            Exhausted::Halt => Disposition::Halted { class },
        };
    }
    if attempts < retry.in_place_attempts {
        return Disposition::RetryInPlace { class, due: now + retry.backoff.delay(attempts, random) };
    }
    let tier = (attempts - retry.in_place_attempts) as usize;
    Disposition::RetryTopic { class, tier, due: now + retry.tiers[tier] }
}

impl Disposition {
    /// The same with a later next attempt: in place as late as it has to be, else by the first topic, from the one that it would
    /// have gone to, that keeps it for long enough, or by the last one. How many attempts there are stays as it is.
    fn not_before(self, not_before: Time, policy: &RoutePolicy, now: Time) -> Self {
        match self {
            Self::RetryInPlace { class, due } => Self::RetryInPlace { class, due: due.max(not_before) },
            Self::RetryTopic { class, tier, .. } => {
                let tier = policy.retry.tier_for(tier, not_before - now);
                Self::RetryTopic { class, tier, due: now + policy.retry.tiers[tier] }
            }
            other => other,
        }
    }
}

/// What becomes of a record that cannot stay parked in place.
fn overflow(policy: &RoutePolicy, class: Class, now: Time) -> Disposition {
    match (policy.overflow, policy.retry.tiers.first()) {
        (Overflow::RetryTopic, Some(delay)) if policy.ordering != Ordering::Strict => {
            Disposition::RetryTopic { class, tier: 0, due: now + *delay }
        }
        (Overflow::RetryTopic | Overflow::DeadLetter, _) => Disposition::DeadLetter { class },
        (Overflow::Halt, _) => Disposition::Halted { class },
    }
}
