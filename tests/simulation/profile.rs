//! What kind of world a seed makes: its size, settings, routes, events and faults.

use std::time::Duration;

use coafi_core::engine::retry::{Backoff, Policy};
use coafi_core::engine::{
    CircuitSettings, Dependency, Exhausted, HandlerList, Ordering, Overflow, RoutePolicy, Settings, TenantPolicy,
    offset_map,
};

use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Transactional,
    AtLeastOnce,
}

#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) mode: Mode,
    pub(crate) sources: u32,
    /// The first offset: large ones exercise the offset map's encoding.
    pub(crate) base: i64,
    pub(crate) tiers: Vec<Duration>,
    pub(crate) replicas: usize,
    pub(crate) settings: Settings,
    pub(crate) routes: Vec<RoutePolicy>,
    /// How often others come into force.
    pub(crate) reroutes: u32,
    pub(crate) ledger_outages: u32,
    /// How often brokers take less metadata than the engine has been told, for a while.
    pub(crate) narrow_brokers: u32,
    /// Routes may say halt.
    pub(crate) halts: bool,
    pub(crate) events: u32,
    pub(crate) keys: u64,
    /// Percent of the offsets that are gaps, and of the records that are published again.
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) faults: u32,
    /// Records polled at once, at most.
    pub(crate) poll_batch: usize,
    /// How long it takes to publish everything.
    pub(crate) publishing: Duration,
    /// Whether a partition goes on after retention took unread records.
    pub(crate) continue_after_loss: bool,
    /// Some behaviours besides plain success.
    pub(crate) trouble: bool,
    /// Percent of the records that fail whatever is tried.
    pub(crate) hopeless: u64,
    /// Some records need a server that their routes do not declare.
    pub(crate) shopping: bool,
}

impl Profile {
    pub(crate) fn from_seed(random: &mut Random) -> Self {
        let tiers: Vec<_> = (0..random.between(0, 2)).map(|_| random.millis(100, 1500)).collect();
        let halts = random.chance(6);
        let continue_after_loss = random.chance(70);
        let in_flight = random.pick(&[1, 2, 4, 16, 64]);
        let max_records = random.pick(&[40, 100, 400, 2000]).max(in_flight * 2);
        let routes = routes(random, &tiers, halts);
        let max_parked = random.pick(&[1, 3, 16, 64]);
        Self {
            mode: if random.chance(80) { Mode::Transactional } else { Mode::AtLeastOnce },
            sources: random.between(1, 6) as u32,
            base: random.pick(&[0, 0, 17, 3_000_000_000]),
            tiers,
            replicas: random.between(1, 4) as usize,
            settings: Settings {
                max_records,
                max_bytes: max_records * random.pick(&[500, 2000]),
                max_in_flight: in_flight,
                max_run: random.pick(&[1, 4, 16]),
                commit_interval: random.millis(2, 120),
                commit_max_records: random.pick(&[1, 5, 50, 500]),
                drain_timeout: random.millis(50, 1000),
                dedup_window: random.pick(&[30, 200, 1000]),
                dedup_max_entries: 100_000,
                max_parked,
                // With a few bytes of room a few dozen offsets fill the window.
                max_metadata_bytes: metadata_bytes(max_parked, random.pick(&[2, 5, 12, 40, 2000])),
                suspect_after: random.between(1, 3) as u32,
                crash_deaths: 3,
                circuit: circuit(),
            },
            routes,
            reroutes: 0,
            ledger_outages: 0,
            narrow_brokers: 0,
            halts,
            events: random.between(20, 220) as u32,
            keys: random.pick(&[1, 3, 10, 60]),
            gaps: random.pick(&[0, 5, 30]),
            duplicates: random.pick(&[0, 4, 15]),
            faults: random.pick(&[0, 1, 3, 6, 10]),
            poll_batch: random.pick(&[1, 7, 50]),
            publishing: random.millis(0, 4000),
            continue_after_loss,
            trouble: random.chance(85),
            hopeless: 0,
            shopping: false,
        }
    }

    /// What seeds gained after some of them had failed. Only every fourth one has it, which none of those is: they make the
    /// worlds that they made then.
    pub(crate) fn add_what_came_later(&mut self, random: &mut Random) {
        if random.chance(70) {
            self.reroutes = random.between(1, 4) as u32;
        } else {
            self.crowd_with_standing_records(random);
        }
        if random.chance(50) {
            self.ledger_outages = random.between(1, 3) as u32;
        }
        if random.chance(30) {
            self.narrow_brokers = random.between(1, 2) as u32;
        }
        self.shopping = random.chance(50);
    }

    /// More keys stand still for good, in one partition, than the offset map has places for.
    fn crowd_with_standing_records(&mut self, random: &mut Random) {
        self.sources = 1;
        self.keys = 60;
        self.events = random.between(100, 220) as u32;
        self.hopeless = random.pick(&[30, 60]);
        self.halts = true;
        for route in &mut self.routes {
            route.overflow = Overflow::Halt;
            route.exhausted = Exhausted::Halt;
        }
        self.settings.max_parked = random.pick(&[1, 3]);
        self.settings.max_metadata_bytes = metadata_bytes(self.settings.max_parked, random.pick(&[12, 40, 2000]));
    }

    /// One partition, one replica, one route by key, no trouble: what directed scenarios start from.
    pub(crate) fn quiet() -> Self {
        let retry = Policy {
            in_place_attempts: 3,
            backoff: Backoff { initial: Duration::from_millis(100), cap: Duration::from_secs(1) },
            tiers: Vec::new(),
            fault_attempts: 2,
        };
        Self {
            mode: Mode::Transactional,
            sources: 1,
            base: 0,
            tiers: Vec::new(),
            replicas: 1,
            settings: Settings {
                max_records: 1000,
                max_bytes: 1_000_000,
                max_in_flight: 16,
                max_run: 8,
                commit_interval: Duration::from_millis(20),
                commit_max_records: 100,
                drain_timeout: Duration::from_millis(500),
                dedup_window: 200,
                dedup_max_entries: 10_000,
                max_parked: 16,
                max_metadata_bytes: offset_map::MAX_METADATA_BYTES,
                suspect_after: 2,
                crash_deaths: 3,
                circuit: circuit(),
            },
            routes: vec![RoutePolicy {
                handlers: HandlerList::default(),
                ordering: Ordering::Key,
                retry,
                overflow: Overflow::DeadLetter,
                exhausted: Exhausted::DeadLetter,
                concurrency: 16,
                tenant: TenantPolicy::default(),
                dependencies: Vec::new(),
                write_ahead: false,
            }],
            reroutes: 0,
            ledger_outages: 0,
            narrow_brokers: 0,
            halts: false,
            events: 0,
            keys: 8,
            gaps: 0,
            duplicates: 0,
            faults: 0,
            poll_batch: 50,
            publishing: Duration::ZERO,
            continue_after_loss: true,
            trouble: false,
            hopeless: 0,
            shopping: false,
        }
    }

    /// Whether a record may stand still for ever, by policy.
    pub(crate) fn may_halt(&self) -> bool {
        let halts = |route: &RoutePolicy| route.exhausted == Exhausted::Halt || route.overflow == Overflow::Halt;
        !self.continue_after_loss || self.routes.iter().any(halts) || (self.reroutes > 0 && self.halts)
    }
}

/// The smallest limit that leaves the offset map so much room beside its parked records.
pub(crate) fn metadata_bytes(max_parked: usize, room: usize) -> usize {
    (0..=offset_map::MAX_METADATA_BYTES)
        .find(|bytes| offset_map::room(max_parked, *bytes) >= room)
        .unwrap_or(offset_map::MAX_METADATA_BYTES)
}

fn circuit() -> CircuitSettings {
    CircuitSettings {
        failures: 3,
        decide_within: Duration::from_millis(200),
        same_error_lanes: 3,
        probe: Backoff { initial: Duration::from_millis(50), cap: Duration::from_secs(1) },
        looks_every: Duration::from_secs(3),
        escalate_after: Duration::from_secs(2),
    }
}

fn routes(random: &mut Random, tiers: &[Duration], halts: bool) -> Vec<RoutePolicy> {
    let database = vec![Dependency::new(Dependency::DATABASE)];
    let shapes = [
        (Ordering::Key, Vec::new()),
        (random.pick(&[Ordering::Key, Ordering::None]), database),
        (random.pick(&[Ordering::Strict, Ordering::Partition, Ordering::None]), Vec::new()),
    ];
    shapes.map(|(ordering, dependencies)| any_route(random, tiers, halts, ordering, dependencies)).into_iter().collect()
}

pub(crate) fn any_route(
    random: &mut Random,
    tiers: &[Duration],
    halts: bool,
    ordering: Ordering,
    dependencies: Vec<Dependency>,
) -> RoutePolicy {
    let tiers = if ordering == Ordering::Strict { Vec::new() } else { tiers.to_vec() };
    let overflow = if tiers.is_empty() { Overflow::DeadLetter } else { Overflow::RetryTopic };
    let in_place_attempts = random.between(1, 4) as u32;
    let fault_attempts = random.between(1, u64::from(in_place_attempts)) as u32;
    let initial = random.millis(1, 100);
    RoutePolicy {
        handlers: HandlerList::default(),
        ordering,
        retry: Policy { in_place_attempts, backoff: Backoff { initial, cap: initial * 8 }, tiers, fault_attempts },
        overflow: if halts && random.chance(30) { Overflow::Halt } else { overflow },
        exhausted: if halts && random.chance(50) { Exhausted::Halt } else { Exhausted::DeadLetter },
        concurrency: random.pick(&[1, 3, 64]),
        tenant: TenantPolicy::default(),
        dependencies,
        write_ahead: random.chance(25),
    }
}
