//! What stands between records and their end: the named reasons of I8, for people. Looking changes nothing.
//!
//! One pass over what is held, about once a second. A reason is reported once per partition, route and dependency, with the
//! lowest record that it is about and how many records wait for it.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::NO_LANE;
use super::fairness::Bound;
use super::lanes::LaneState;
use super::machine::{Route, Timer};
use super::partition::{Partition, Phase};
use super::tracker::{Entry, State};
use super::transaction::Stage;
use super::{Dependency, Engine, PartitionId, RouteId, Time, TransactionId};
use crate::event::Offset;

/// Reasons reported of one partition: those of the lowest records.
const MAX_REASONS: usize = 6;
/// Timers looked at for when a parked record is due, the next ones first. What is due later is reported without its time.
const MAX_TIMERS: usize = 10_000;

/// What one partition waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub partition: PartitionId,
    /// The lowest record that has not ended: what holds the position.
    pub head: Option<Offset>,
    /// By the records that they are about, the lowest first.
    pub reasons: Vec<Reason>,
}

/// Why some records of a partition have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub hold: Hold,
    /// The lowest record; `None` where it is about all that comes.
    pub offset: Option<Offset>,
    pub route: Option<RouteId>,
    /// Attempts that the lowest record has used.
    pub attempts: u32,
    /// Records that wait for this, those behind them in their lanes included.
    pub records: u64,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Retention has passed the position, and the routes do not say go on.
    EventsLost,
    /// The group takes the partition back; by then it is released at the latest.
    Draining { until: Time },
    /// The first commit of this ownership.
    Marking,
    /// The deduplication window that is being read back.
    Rebuilding,
    /// A person: the route's policy says halt.
    Halted,
    /// A dependency that is down.
    Outage { dependency: Dependency, since: Time },
    /// A person: the route is disabled.
    Disabled,
    /// The next attempt in place, or the due time of a retry topic's record.
    Parked { until: Option<Time> },
    /// It is being decided whether failures like this one are an outage.
    Undecided,
    /// Room in the offset map, which the lowest unresolved record has to leave first.
    WindowFull,
    /// The receipt, which the route wants before its handler.
    Receipt,
    /// All others: records of a partition whose owners died run one at a time.
    Alone,
    /// The tenant's own bounds: one of its records that is in flight, or the time at which its rate has something left.
    Tenant { until: Option<Time> },
    /// A free slot of the route, or of the replica.
    Slot,
    /// The handler.
    Handler,
    /// The receipts of what is to be committed.
    Receipts,
    /// The commit.
    Commit,
    /// Room: the replica polls no more of this partition, or nothing at all.
    Room,
}

impl<P: Clone, R> Engine<P, R> {
    /// Every assigned partition.
    #[must_use]
    pub fn inspect(&self) -> Vec<Inspection> {
        let mut all: Vec<Inspection> = self.partitions.iter().flatten().map(|p| self.inspection(p)).collect();
        self.tell_when_due(&mut all);
        all
    }

    fn inspection(&self, partition: &Partition<P>) -> Inspection {
        let mut found = Found::default();
        let of_all = match partition.phase {
            Phase::Halted => Some(Hold::EventsLost),
            Phase::Draining { give_up_at, .. } => Some(Hold::Draining { until: give_up_at }),
            Phase::Marking => Some(Hold::Marking),
            Phase::Running | Phase::Drained => None,
        };
        if let Some(hold) = of_all {
            found.note(hold, None, None, 0, 0);
        }
        if partition.paused && partition.phase == Phase::Running || !self.has_room() {
            found.note(Hold::Room, None, None, 0, 0);
        }
        let mut head = None;
        let committed = TransactionId(self.transaction.id.0 - 1);
        for (sequence, entry) in partition.tracker.iter().filter(|(_, entry)| !entry.is_resolved_by(committed)) {
            head = head.or(Some(entry.offset));
            let Some(hold) = self.hold_of(partition, sequence, entry) else { continue };
            let routed = matches!(entry.state, State::Pending | State::Staged(_)) || entry.lane == NO_LANE;
            let records = if routed { 1 } else { partition.lanes.lane(entry.lane).queue.len() as u64 };
            let route = (entry.lane != NO_LANE).then_some(entry.route);
            found.note(hold, Some(entry.offset), route, entry.attempts, records);
        }
        Inspection { partition: partition.id, head, reasons: found.lowest() }
    }

    /// `None`: it waits behind another record of its lane, whose reason is its own.
    fn hold_of(&self, partition: &Partition<P>, sequence: u64, entry: &Entry<P>) -> Option<Hold> {
        match entry.state {
            State::Resolved => None,
            State::Halted => Some(Hold::Halted),
            State::Parked => Some(match partition.awaiting.get(&sequence) {
                Some(dependency) if self.down.contains(dependency) => self.outage(dependency),
                Some(_) => Hold::Undecided,
                None => Hold::Parked { until: None },
            }),
            State::Suspected => Some(Hold::Undecided),
            State::Pending | State::Staged(_) => {
                Some(self.without_the_ledger().unwrap_or(match self.transaction.stage {
                    Stage::Sealed => Hold::Receipts,
                    Stage::Open | Stage::Committing | Stage::Aborting => Hold::Commit,
                }))
            }
            State::Waiting if entry.lane == NO_LANE && partition.unsorted.is_some() => Some(Hold::Rebuilding),
            State::Waiting if entry.lane == NO_LANE => Some(Hold::WindowFull),
            State::InFlight | State::Waiting => {
                let lane = partition.lanes.lane(entry.lane);
                if lane.queue.front() != Some(&sequence) {
                    return None;
                }
                let down = partition.awaiting.get(&sequence).filter(|awaited| self.down.contains(*awaited));
                Some(match (entry.state, lane.state) {
                    // It looks whether it still needs it.
                    (State::InFlight, _) => down.map_or(Hold::Handler, |dependency| self.outage(dependency)),
                    (_, LaneState::Held) if partition.waits_for_an_end(entry.lane) => Hold::Commit,
                    (_, LaneState::Held) if partition.is_receipted(entry.offset) => Hold::WindowFull,
                    (_, LaneState::Held) => self.without_the_ledger().unwrap_or(Hold::Receipt),
                    _ => self.hold_of_ready(partition, entry.route, entry.tenant),
                })
            }
        }
    }

    /// Of the head of a lane that could run as far as its partition is concerned.
    fn hold_of_ready(&self, partition: &Partition<P>, route: RouteId, tenant: u64) -> Hold {
        if self.policy(route).concurrency == 0 {
            return Hold::Disabled;
        }
        if let Some(dependency) = self.what_is_down(route) {
            return self.outage(dependency);
        }
        if partition.suspicion.one_at_a_time() || self.exclusive.is_some() {
            return Hold::Alone;
        }
        let Route { ready, policy, .. } = &self.routes[route.0 as usize];
        match ready.bound(tenant, &policy.tenant, self.now) {
            Some(Bound::Concurrency) => Hold::Tenant { until: None },
            Some(Bound::Rate { until }) => Hold::Tenant { until: Some(until) },
            None => Hold::Slot,
        }
    }

    /// The record at this offset, if it is held and has not ended.
    #[must_use]
    pub fn payload(&self, partition: PartitionId, offset: Offset) -> Option<&P> {
        let mut entries = self.partitions.get(partition.0 as usize)?.as_ref()?.tracker.iter();
        entries.find(|(_, entry)| entry.offset == offset)?.1.payload.as_ref()
    }

    /// While the ledger is down that is what receipts and commits wait for (I2).
    fn without_the_ledger(&self) -> Option<Hold> {
        self.ledger_down().map(|ledger| self.outage(ledger))
    }

    fn outage(&self, dependency: &Dependency) -> Hold {
        let since = self.circuits.get(dependency).and_then(super::circuit::Circuit::since).unwrap_or(self.now);
        Hold::Outage { dependency: dependency.clone(), since }
    }

    /// When the parked records are due that were found to be the lowest.
    fn tell_when_due(&self, all: &mut [Inspection]) {
        let parked = |inspection: &Inspection| {
            let (id, offsets) = (inspection.partition, inspection.reasons.iter());
            let offsets = offsets.filter(|reason| matches!(reason.hold, Hold::Parked { .. })).map(|r| r.offset);
            offsets.flatten().map(|offset| (id, offset)).collect::<Vec<_>>()
        };
        let mut wanted: BTreeSet<(PartitionId, Offset)> = all.iter().flat_map(parked).collect();
        let mut due = BTreeMap::new();
        for ((at, _), timer) in self.timers.iter().take(MAX_TIMERS) {
            if wanted.is_empty() {
                break;
            }
            if let Timer::Due(ticket) = timer
                && wanted.remove(&(ticket.partition, ticket.offset))
            {
                due.insert((ticket.partition, ticket.offset), *at);
            }
        }
        for inspection in all {
            for reason in &mut inspection.reasons {
                let known = reason.offset.and_then(|offset| due.get(&(inspection.partition, offset)));
                if let (Hold::Parked { until }, Some(at)) = (&mut reason.hold, known) {
                    *until = Some(*at);
                }
            }
        }
    }
}

/// Reasons, each once.
#[derive(Default)]
struct Found(BTreeMap<(Hold, Option<RouteId>), Reason>);

impl Found {
    /// Records come in the order of their offsets, so the first one of a reason is the lowest. Tenants that have used up what
    /// they may are one reason together, whatever time each of them waits for: many of them are not to hide the others.
    fn note(&mut self, hold: Hold, offset: Option<Offset>, route: Option<RouteId>, attempts: u32, records: u64) {
        let key = match &hold {
            Hold::Tenant { .. } => Hold::Tenant { until: None },
            hold => hold.clone(),
        };
        let first = || Reason { hold, offset, route, attempts, records: 0 };
        self.0.entry((key, route)).or_insert_with(first).records += records;
    }

    fn lowest(self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.0.into_values().collect();
        reasons.sort_by_key(|reason| reason.offset);
        reasons.truncate(MAX_REASONS);
        reasons
    }
}
