//! The routes change while records are held: all of them at once, between two inputs.
//!
//! | record | what follows |
//! |---|---|
//! | waiting, parked | stands where the new routes put it; its attempts stay, and the new policy's limit counts; handlers that are done stay done if the route has the same ones in the same order |
//! | held back as suspected, waiting alone for what is down | runs again, as after a revocation: no attempt is used |
//! | in flight | ends under the routes that it began with, and stands in its new lane until then |
//! | taken by no route any more | `coafi.unprocessed`; one in flight only if it does not succeed |
//! | ended | as it ended |
//!
//! What comes after an attempt that began before is up to the new policy. Order (I3): the new lanes hold all records in the
//! order of their offsets, those in flight among them, and a lane starts nothing before all of them are back. So a key whose
//! ordering changes is at no time with two handlers that its new ordering would not allow, and no other key waits for that.

use super::admission::NO_LANE;
use super::lanes::{LaneState, Lanes};
use super::machine::{Route, Timer};
use super::outages::route_of;
use super::partition::Partition;
use super::tracker::{Entry, State};
use super::{
    Attempt, Class, Disposition, Engine, Exhausted, HandlerList, PartitionId, RouteId, RoutePolicy, Time, Verdict,
};
use crate::event::Offset;

/// The route of a record in flight that no route takes any more.
pub(super) const NO_ROUTE: RouteId = RouteId(u32::MAX);

/// What the new routes say of a record that the old ones had taken.
#[derive(Clone, Debug)]
pub struct Rerouted<P> {
    /// Anything but [`Verdict::Routed`] is: no route takes it.
    pub verdict: Verdict,
    /// The payload, as the new routes want it.
    pub payload: P,
}

impl<P> Entry<P> {
    /// Whether it is in a lane and has not ended.
    fn is_in_lane(&self) -> bool {
        let ended = matches!(self.state, State::Pending | State::Staged(_) | State::Resolved);
        self.lane != NO_LANE && !ended
    }

    /// Takes it over, and gives the key of its lane. `None` if no route takes it and it is not in flight either.
    fn rerouted<R>(&mut self, looked: Rerouted<P>, old_key: u64, routes: &[Route<R>]) -> Option<u64> {
        match looked.verdict {
            Verdict::Routed { route, lane } => {
                let policy = &routes[route.0 as usize].policy;
                self.has_handlers(policy.handlers);
                (self.route, self.payload) = (route, Some(looked.payload));
                Some(Lanes::key(policy.ordering, lane, self.offset))
            }
            Verdict::Poison | Verdict::Unrecognised if self.state == State::InFlight => {
                self.has_handlers(HandlerList::default());
                self.route = NO_ROUTE;
                Some(old_key)
            }
            Verdict::Poison | Verdict::Unrecognised => None,
        }
    }
}

impl<P> Partition<P> {
    /// Records that wait for the deduplication window. What no route took when it was polled stays so: its attempts were not
    /// looked at.
    fn reroute_unsorted<R>(&mut self, look: &mut impl FnMut(&P) -> Rerouted<P>, routes: &[Route<R>]) {
        for unsorted in self.unsorted.iter_mut().flatten() {
            let Verdict::Routed { .. } = unsorted.verdict else { continue };
            let Some(entry) = self.tracker.entry_mut(unsorted.sequence) else { continue };
            let Some(looked) = entry.payload.as_ref().map(&mut *look) else { continue };
            if let Verdict::Routed { route, .. } = looked.verdict {
                entry.route = route;
                entry.has_handlers(routes[route.0 as usize].policy.handlers);
            }
            (unsorted.verdict, entry.payload) = (looked.verdict, Some(looked.payload));
        }
    }
}

impl<P: Clone, R> Engine<P, R> {
    /// From now on these routes are in force. `look` is asked about every record that is held and was routed.
    pub fn reroute(&mut self, now: Time, routes: Vec<RoutePolicy>, mut look: impl FnMut(&P) -> Rerouted<P>) {
        self.input(now);
        self.end_streaks();
        self.withdraw_exclusive();
        self.forget_done_in_outputs();
        self.routes = routes.into_iter().map(Route::new).collect();
        self.forget_awaited();
        self.next_route = 0;
        let ids: Vec<PartitionId> = self.partitions.iter().flatten().map(|partition| partition.id).collect();
        for id in ids {
            let unrouted = self.reroute_partition(id, &mut look);
            for (sequence, offset) in unrouted {
                self.end_when_there_is_room(id, sequence, offset, Disposition::Unprocessed);
            }
            self.limit_attempts(id);
            self.wake_all_lanes(id);
        }
        self.follow_exclusive();
    }

    /// Held-back failures, and outages that were seen in the failures of one route, are not those of the new routes.
    fn end_streaks(&mut self) {
        for index in 0..self.routes.len() {
            for suspended in std::mem::take(&mut self.routes[index].streak).into_held() {
                self.resume_suspended(&suspended.ticket);
            }
        }
        self.timers.retain(|_, timer| !matches!(timer, Timer::Decide(_) | Timer::Replenished(..)));
        self.close_circuits(|dependency| route_of(dependency).is_some());
    }

    /// A record that was to run alone and does not yet, is announced again from its new lane.
    fn withdraw_exclusive(&mut self) {
        let Some((id, epoch, lane)) = self.exclusive else { return };
        let Some(partition) = self.live(id, epoch) else { return };
        if matches!(partition.lanes.lane(lane).state, LaneState::Running(_)) {
            return;
        }
        let announced = partition.suspicion.withdraw();
        self.exclusive = None;
        if announced {
            self.note_change(id);
        }
    }

    /// One that runs alone is in another lane now.
    fn follow_exclusive(&mut self) {
        let Some((id, epoch, _)) = self.exclusive else { return };
        let Some(partition) = self.live(id, epoch) else { return };
        let running = partition.tracker.iter().find(|(_, entry)| entry.state == State::InFlight);
        self.exclusive = running.map(|(_, entry)| (id, epoch, entry.lane));
    }

    /// The bits in outputs that are not committed yet are of the old routes' handlers: the offset map must not say them of
    /// the new ones.
    fn forget_done_in_outputs(&mut self) {
        self.transaction.rerouted = true;
        for output in self.transaction.pending.iter_mut().filter(|output| !output.disposition.resolves()) {
            output.done = 0;
        }
    }

    /// Gives the records that no route takes any more, in their order.
    fn reroute_partition(&mut self, id: PartitionId, look: &mut impl FnMut(&P) -> Rerouted<P>) -> Vec<(u64, Offset)> {
        let routes = &mut self.routes;
        let Some(partition) = self.partitions.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else {
            return Vec::new();
        };
        let leaving = partition.is_leaving();
        let old = std::mem::take(&mut partition.lanes);
        let (mut lanes, mut unrouted) = (Lanes::default(), Vec::new());
        for (sequence, entry) in partition.tracker.iter_mut() {
            let in_flight = entry.state == State::InFlight;
            // Of a partition that is given up nothing starts any more: only what runs matters.
            if !(in_flight || entry.is_in_lane() && !leaving) {
                continue;
            }
            let Some(looked) = entry.payload.as_ref().map(&mut *look) else { continue };
            let began_with = entry.handlers;
            let Some(key) = entry.rerouted(looked, old.lane(entry.lane).key(), routes) else {
                entry.lane = NO_LANE;
                unrouted.push((sequence, entry.offset));
                continue;
            };
            if in_flight {
                partition.outdated.entry(sequence).or_insert(began_with);
                if let Some(route) = routes.get_mut(entry.route.0 as usize) {
                    route.in_flight += 1;
                    route.ready.carried_over(entry.tenant);
                }
            }
            if !leaving {
                entry.lane = lanes.push(key, sequence);
                if in_flight {
                    lanes.lane_mut(entry.lane).runs_one_more();
                }
            }
        }
        partition.lanes = if leaving { old } else { lanes };
        partition.held_lanes.clear();
        partition.reroute_unsorted(look, routes);
        unrouted
    }

    /// No route takes it, and its attempt was given up: it had room in the offset map. An attempt before that is reported
    /// already.
    fn end_unrouted(&mut self, id: PartitionId, sequence: u64) {
        let tried = self
            .partition(id)
            .and_then(|partition| partition.tracker.entry(sequence))
            .is_some_and(|entry| entry.attempts > entry.inherited);
        if tried {
            self.end_reported(id, sequence, Disposition::Unprocessed);
        } else {
            self.end(id, sequence, Disposition::Unprocessed, None);
        }
    }

    /// Records that have used what their new policy allows, as when a restart finds them. What was halted and may go on, goes
    /// on.
    fn limit_attempts(&mut self, id: PartitionId) {
        let Some(partition) = self.partition(id).filter(|partition| !partition.is_leaving()) else { return };
        let waiting: Vec<(u64, State)> = partition
            .tracker
            .iter()
            .filter(|(_, entry)| entry.lane != NO_LANE)
            .filter(|(_, entry)| matches!(entry.state, State::Waiting | State::Parked | State::Halted))
            .map(|(sequence, entry)| (sequence, entry.state))
            .collect();
        for (sequence, state) in waiting {
            self.limit_attempts_of(id, sequence, state);
        }
    }

    fn limit_attempts_of(&mut self, id: PartitionId, sequence: u64, state: State) {
        let entry = self.partition(id).and_then(|partition| partition.tracker.entry(sequence));
        // Another record's end may have sent it away, for room in the offset map.
        let Some(entry) = entry.filter(|entry| entry.state == state && entry.lane != NO_LANE) else { return };
        let (offset, lane, route, attempts) = (entry.offset, entry.lane, entry.route, entry.attempts);
        match self.exhausted(route, attempts) {
            Some(Exhausted::DeadLetter) => {
                let end = Disposition::DeadLetter { class: Class::Transient };
                self.end_when_there_is_room(id, sequence, offset, end);
                if let Some(partition) = self.partition(id) {
                    partition.lanes.release_if_empty(lane);
                }
            }
            Some(Exhausted::Halt) if state != State::Halted => self.halt(id, sequence, offset),
            None if state == State::Halted => {
                // It may have been halted before it was due.
                let is_its = |timer: &Timer| matches!(timer, Timer::Due(due) if (due.partition, due.sequence) == (id, sequence) && due.offset == offset);
                let waits = self.timers.values().any(is_its);
                if let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry_mut(sequence)) {
                    entry.state = if waits { State::Parked } else { State::Waiting };
                }
            }
            Some(Exhausted::Halt) | None => {}
        }
    }

    /// An attempt has ended that began under earlier routes, and its record has not: what it has done may be worth nothing
    /// now, its attempts may be used up, and a route may not take it any more.
    pub(super) fn end_outdated(&mut self, id: PartitionId, sequence: u64, began_with: HandlerList) {
        let Some(partition) = self.partition(id) else { return };
        let leaving = partition.is_leaving();
        let Some(entry) = partition.tracker.entry_mut(sequence) else { return };
        if entry.handlers != began_with {
            (entry.done, entry.audited_done) = (0, 0);
            self.forget_done_in_outputs();
        }
        let Some(entry) = self.partition(id).and_then(|partition| partition.tracker.entry(sequence)) else { return };
        let (state, route) = (entry.state, entry.route);
        if matches!(state, State::Waiting | State::Parked) && route != NO_ROUTE && !leaving {
            self.limit_attempts_of(id, sequence, state);
        }
    }

    /// An attempt of a record that no route takes any more: its success counts, its failure is the last.
    pub(super) fn end_unrouted_attempt(
        &mut self,
        id: PartitionId,
        sequence: u64,
        verdict: &Attempt,
        report: Option<R>,
    ) {
        match verdict {
            Attempt::Succeeded | Attempt::Failed { .. } => {
                self.count_attempt(id, sequence);
                let succeeded = matches!(verdict, Attempt::Succeeded);
                let end = if succeeded { Disposition::Processed } else { Disposition::Unprocessed };
                self.end(id, sequence, end, report);
            }
            Attempt::Filtered => self.end(id, sequence, Disposition::Filtered, report),
            Attempt::NotStarted | Attempt::Cancelled | Attempt::Fenced => self.end_unrouted(id, sequence),
        }
    }
}
