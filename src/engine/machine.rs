//! The engine's state, its clock and its loop: inputs change state, [`Engine::poll_effect`] settles it into effects.
//!
//! The inputs are in the files of their concern: `assignment.rs`, `admission.rs`, `outcome.rs`, `commit.rs`, `outages.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::census::Census;
use super::circuit::Circuit;
use super::fairness::{Pace, Ready};
use super::outages::Streak;
use super::partition::Partition;
use super::transaction::{Stage, Transaction};
use super::{Dependency, Effect, Epoch, PartitionId, RouteId, RoutePolicy, Settings, Ticket, Time};

/// The pure core. `P` is a record's payload, `R` a worker's report; both are opaque.
pub struct Engine<P, R> {
    pub(super) settings: Settings,
    pub(super) routes: Vec<Route<R>>,
    /// By [`PartitionId`].
    pub(super) partitions: Vec<Option<Box<Partition<P>>>>,
    pub(super) assigned_count: usize,
    /// Of these, the ones whose records are deduplicated.
    pub(super) windows: usize,
    pub(super) epochs: u64,
    pub(super) effects: VecDeque<Effect<P, R>>,
    pub(super) timers: BTreeMap<(Time, u64), Timer>,
    timer_count: u64,
    pub(super) transaction: Transaction<P, R>,
    /// Partitions that the next commit has something to say about.
    pub(super) changed: Vec<PartitionId>,
    pub(super) circuits: BTreeMap<Dependency, Circuit>,
    /// Dependencies whose circuit is open.
    pub(super) down: BTreeSet<Dependency>,
    /// Those that were down when nothing waited for them any more.
    pub(super) unneeded: BTreeSet<Dependency>,
    /// Partitions that were revoked together are released together.
    pub(super) revocations: Vec<BTreeSet<PartitionId>>,
    pub(super) totals: Census,
    pub(super) in_flight: usize,
    /// A lane of a suspect partition whose head runs next, alone.
    pub(super) exclusive: Option<(PartitionId, Epoch, u32)>,
    /// Of all partitions (I7): what is held, of that what has no outcome yet, and of that what is of paused partitions.
    pub(super) buffered: Budget,
    pub(super) waiting: Budget,
    pub(super) paused: Budget,
    pub(super) now: Time,
    random: u64,
    pub(super) next_route: usize,
    unsettled: bool,
    /// A partition may hold more or less than decides whether it is paused.
    pub(super) unbalanced: bool,
}

/// A route as the engine runs it.
pub(super) struct Route<R> {
    pub(super) policy: RoutePolicy,
    /// Lanes whose head is of this route and may run.
    pub(super) ready: Ready,
    pub(super) in_flight: usize,
    pub(super) pace: Pace,
    pub(super) streak: Streak<R>,
}

impl<R> Route<R> {
    pub(super) fn new(policy: RoutePolicy) -> Self {
        Self { policy, ready: Ready::default(), in_flight: 0, pace: Pace::default(), streak: Streak::default() }
    }

    /// One of its records is back, or its partition is gone.
    pub(super) fn ended(&mut self, tenant: u64, now: Time) {
        self.in_flight -= 1;
        self.ready.ended(tenant, now);
    }
}

/// Something to look at again later. Looking at what is gone by then does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A parked record is due.
    Due(Ticket),
    /// A record that waits alone looks again.
    Looks(Ticket),
    /// A tenant's rate has something left again.
    Replenished(RouteId, u64),
    /// It is time to decide what a held-back failure was.
    Decide(RouteId),
    /// A revoked partition's time is up.
    Drain(PartitionId, Epoch),
}

/// Records and bytes held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Budget {
    pub(super) fn add(&mut self, records: usize, bytes: usize) {
        self.records += records;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, records: usize, bytes: usize) {
        self.records -= records;
        self.bytes -= bytes;
    }
}

impl<P: Clone, R> Engine<P, R> {
    /// `seed` feeds the jitter.
    #[must_use]
    pub fn new(settings: Settings, routes: Vec<RoutePolicy>, seed: u64) -> Self {
        Self {
            settings,
            routes: routes.into_iter().map(Route::new).collect(),
            partitions: Vec::new(),
            assigned_count: 0,
            windows: 0,
            epochs: 0,
            effects: VecDeque::new(),
            timers: BTreeMap::new(),
            timer_count: 0,
            transaction: Transaction::new(),
            changed: Vec::new(),
            circuits: BTreeMap::new(),
            down: BTreeSet::new(),
            unneeded: BTreeSet::new(),
            revocations: Vec::new(),
            totals: Census::default(),
            in_flight: 0,
            exclusive: None,
            buffered: Budget::default(),
            waiting: Budget::default(),
            paused: Budget::default(),
            now: Time(0),
            random: seed,
            next_route: 0,
            unsettled: false,
            unbalanced: false,
        }
    }

    /// The next thing to do, if any. Call until `None` after the inputs of a step.
    pub fn poll_effect(&mut self) -> Option<Effect<P, R>> {
        if self.effects.is_empty() && std::mem::take(&mut self.unsettled) {
            self.drain();
            self.stage_pending();
            self.dispatch();
            self.balance_pauses();
            self.commit();
        }
        self.effects.pop_front()
    }

    /// When [`Engine::tick`] is to be called at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let probes = self.down.iter().filter_map(|name| self.circuits[name].wake_at(&self.settings.circuit)).min();
        [timer, probes, self.commit_due_at()].into_iter().flatten().min()
    }

    /// Whether another record may be polled (I7). While it is false the driver polls no records. Partitions that hold more
    /// than their share are paused and do not count against the others, as long as all together are within the bound.
    #[must_use]
    pub fn has_room(&self) -> bool {
        if self.buffered.records >= self.settings.max_records || self.buffered.bytes >= self.settings.max_bytes {
            return false;
        }
        let records = self.waiting.records - self.paused.records;
        let bytes = self.waiting.bytes - self.paused.bytes;
        records < self.settings.max_records.div_ceil(3) && bytes < self.settings.max_bytes.div_ceil(3)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Time) {
        self.input(now);
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Timer::Due(ticket) => self.unpark(ticket),
                Timer::Looks(ticket) => self.look_again(ticket),
                Timer::Replenished(route, tenant) => {
                    self.routes[route.0 as usize].ready.replenished(tenant);
                }
                Timer::Decide(route) => self.decide(route),
                Timer::Drain(partition, epoch) => self.drain_timer(partition, epoch),
            }
        }
        self.tend_circuits();
    }

    /// Where every polled record is (I5).
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = self.totals;
        self.partitions.iter().flatten().for_each(|partition| partition.count_into(&mut census));
        census
    }

    /// Where the records of one partition are that have not ended.
    #[must_use]
    pub fn census_of(&self, partition: PartitionId) -> Census {
        let mut census = Census::default();
        if let Some(Some(partition)) = self.partitions.get(partition.0 as usize) {
            partition.count_into(&mut census);
        }
        census
    }

    /// Bytes of the records that are polled and not resolved (I7).
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered.bytes
    }

    /// Every input begins here.
    pub(super) fn input(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.unsettled = true;
    }

    pub(super) fn set_timer(&mut self, at: Time, timer: Timer) {
        self.timer_count += 1;
        self.timers.insert((at, self.timer_count), timer);
    }

    /// A number for jitter: SplitMix64.
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The partition, if `epoch` is its current one (I4).
    pub(super) fn live(&mut self, partition: PartitionId, epoch: Epoch) -> Option<&mut Partition<P>> {
        self.partitions.get_mut(partition.0 as usize)?.as_deref_mut().filter(|live| live.epoch == epoch)
    }

    pub(super) fn partition(&mut self, partition: PartitionId) -> Option<&mut Partition<P>> {
        self.partitions.get_mut(partition.0 as usize)?.as_deref_mut()
    }

    /// Has the next commit say something about this partition.
    pub(super) fn note_change(&mut self, partition: PartitionId) {
        let Some(live) = self.partitions.get_mut(partition.0 as usize).and_then(Option::as_deref_mut) else { return };
        if !std::mem::replace(&mut live.changed, true) {
            self.changed.push(partition);
        }
        self.transaction.since.get_or_insert(self.now);
    }

    /// The same, without waiting for the interval.
    pub(super) fn note_urgent_change(&mut self, partition: PartitionId) {
        self.note_change(partition);
        self.transaction.urgent = true;
    }

    /// The routes in turn, so that none starves the others.
    pub(super) fn routes_in_turn(&mut self) -> impl Iterator<Item = usize> + use<P, R> {
        let count = self.routes.len();
        let start = self.next_route;
        self.next_route = if count == 0 { 0 } else { (start + 1) % count };
        (0..count).map(move |index| (start + index) % count)
    }

    pub(super) fn accepts_outputs(&self) -> bool {
        self.transaction.stage == Stage::Open && self.ledger_down().is_none()
    }
}

impl<P, R> std::fmt::Debug for Engine<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("assigned", &self.assigned_count)
            .field("in_flight", &self.in_flight)
            .field("buffered", &self.buffered)
            .finish_non_exhaustive()
    }
}
