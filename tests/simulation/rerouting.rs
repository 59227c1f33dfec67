//! The routes change while records wait, are parked and run: seeded, and checked against a model at every step.
//!
//! Two kinds of events share the keys of one partition. Every change draws anew for each kind whether a route takes it, its
//! ordering, its attempts and its concurrency; 0 disables it. What was handed out and not begun may be given back, as workers
//! do with runs of routes that are not in force any more. Commits fail at times.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use coafi_core::engine::{
    Arrival, Assignment, Attempt, Class, CommitResult, Disposition, Effect, Engine, Epoch, Finished, Job, Ordering,
    Output, PartitionId, Rerouted, RouteId, RoutePolicy, Settings, TenantPolicy, Time, Verdict,
};
use coafi_core::event::{NextOffset, Offset};

use crate::profile::Profile;
use crate::random::Random;

const P0: PartitionId = PartitionId(0);
const SEEDS: u64 = 1_000;
const KINDS: usize = 2;
const EVENTS: i64 = 120;
const KEYS: u64 = 4;
/// Steps after which a seed must have come to its end.
const MAX_STEPS: usize = 20_000;

#[derive(Clone, Copy, Debug)]
struct Payload {
    offset: i64,
    kind: usize,
    key: u64,
    /// Attempts that fail.
    fails: u32,
}

/// What is known from outside of one record.
#[derive(Debug, Default)]
struct Fate {
    /// Attempts in committed outcomes.
    attempts: u32,
    end: Option<Disposition>,
}

/// By kind; `None`: no route takes it.
type Routes = [Option<RoutePolicy>; KINDS];

struct World {
    random: Random,
    engine: Engine<Payload, u32>,
    epoch: Epoch,
    now: Time,
    routes: Routes,
    events: Vec<Payload>,
    polled: i64,
    runs: Vec<VecDeque<Job<Payload>>>,
    /// Handed out and not back.
    out: BTreeSet<i64>,
    staged: Vec<Output<Payload, u32>>,
    fates: BTreeMap<i64, Fate>,
}

fn any_routes(random: &mut Random) -> Routes {
    std::array::from_fn(|_| {
        let retry = Profile::quiet().routes.remove(0).retry;
        let policy = RoutePolicy {
            ordering: random.pick(&[
                Ordering::Key,
                Ordering::Key,
                Ordering::Partition,
                Ordering::Strict,
                Ordering::None,
            ]),
            concurrency: random.pick(&[0, 1, 3, 16]),
            tenant: TenantPolicy { concurrency: random.pick(&[1, 2, usize::MAX]), quota: None },
            ..Profile::quiet().routes.remove(0)
        };
        let in_place_attempts = random.between(1, 5) as u32;
        let retry = coafi_core::engine::retry::Policy { in_place_attempts, fault_attempts: 1, ..retry };
        (!random.chance(5)).then_some(RoutePolicy { retry, ..policy })
    })
}

/// For the engine: those that there are, in order; and the id of each kind's.
fn numbered(routes: &Routes) -> (Vec<RoutePolicy>, [Option<RouteId>; KINDS]) {
    let mut next = 0..;
    let ids = std::array::from_fn(|kind| routes[kind].as_ref().map(|_| RouteId(next.next().expect("endless"))));
    (routes.iter().flatten().cloned().collect(), ids)
}

fn verdict(ids: &[Option<RouteId>; KINDS], payload: &Payload) -> Verdict {
    match ids[payload.kind] {
        Some(route) => Verdict::Routed { route, lane: payload.key.wrapping_mul(0x9e37_79b9_7f4a_7c15) },
        None => Verdict::Unrecognised,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings { dedup_window: 0, max_run: random.pick(&[1, 4]), ..Profile::quiet().settings };
        let routes = any_routes(&mut random);
        let mut engine = Engine::new(settings, numbered(&routes).0, random.next());
        let assignment = Assignment {
            partition: P0,
            position: NextOffset(0),
            metadata: "",
            identity: 1,
            claim: None,
            log_start: NextOffset(0),
            continue_after_loss: false,
            deduplicated: false,
        };
        let epoch = engine.assigned(Time(0), &assignment);
        let events = (0..EVENTS)
            .map(|offset| Payload {
                offset,
                kind: random.index(KINDS),
                key: random.between(1, KEYS),
                fails: random.pick(&[0, 0, 0, 1, 2, 6]),
            })
            .collect();
        Self {
            random,
            engine,
            epoch,
            now: Time(0),
            routes,
            events,
            polled: 0,
            runs: Vec::new(),
            out: BTreeSet::new(),
            staged: Vec::new(),
            fates: (0..EVENTS).map(|offset| (offset, Fate::default())).collect(),
        }
    }

    fn run(&mut self) {
        self.settle();
        for _step in 0..MAX_STEPS {
            if self.fates.values().all(|fate| fate.end.is_some()) {
                return;
            }
            self.now = self.now + self.random.millis(0, 20);
            match self.random.between(0, 99) {
                0..=3 => self.reroute(),
                4..=29 => self.poll(),
                30..=69 if !self.runs.is_empty() => self.one_ends(),
                _ => self.engine.tick(self.now),
            }
            self.settle();
            assert!(self.engine.census().adds_up(), "{:?}", self.engine.census());
            assert_eq!(self.engine.census().in_flight, self.out.len() as u64);
        }
        panic!("it stands still: {:?}", self.fates.iter().filter(|(_, fate)| fate.end.is_none()).collect::<Vec<_>>());
    }

    fn reroute(&mut self) {
        self.routes = any_routes(&mut self.random);
        let (policies, ids) = numbered(&self.routes);
        self.engine
            .reroute(self.now, policies, |payload| Rerouted { verdict: verdict(&ids, payload), payload: *payload });
        // Workers give back what they have not begun.
        for index in 0..self.runs.len() {
            if self.random.chance(50) {
                let rest = self.runs[index].split_off(1);
                rest.into_iter().for_each(|job| self.report(&job, Attempt::NotStarted));
            }
        }
    }

    fn poll(&mut self) {
        let (_, ids) = numbered(&self.routes);
        let until = (self.polled + self.random.between(1, 8) as i64).min(EVENTS);
        let batch: Vec<_> = (self.polled..until).map(|offset| arrival(&self.events[offset as usize], &ids)).collect();
        self.polled = until;
        self.engine.records(self.now, P0, self.epoch, batch);
        self.engine.receipts_acknowledged(self.now, P0, self.epoch, NextOffset(until));
    }

    /// The first record of a run ends, and takes the rest with it unless it succeeded.
    fn one_ends(&mut self) {
        let index = self.random.index(self.runs.len());
        let Some(job) = self.runs[index].pop_front() else { return };
        let failed = job.attempt <= job.payload.fails;
        // Of its own: the same error in several lanes would be an outage.
        let code = 1_000 + job.payload.offset.unsigned_abs() * 100 + u64::from(job.attempt);
        let verdict = if failed { Attempt::Failed { class: Class::Transient, code } } else { Attempt::Succeeded };
        self.report(&job, verdict);
        if failed {
            let rest = std::mem::take(&mut self.runs[index]);
            rest.into_iter().for_each(|job| self.report(&job, Attempt::NotStarted));
        }
        self.runs.retain(|run| !run.is_empty());
    }

    fn report(&mut self, job: &Job<Payload>, verdict: Attempt) {
        self.out.remove(&job.payload.offset);
        let report = (verdict != Attempt::NotStarted).then_some(job.attempt);
        let took = Duration::from_millis(1);
        let wait = Duration::ZERO;
        self.engine.finished(self.now, Finished { ticket: job.ticket, verdict, done: 0, took, wait, report });
    }

    fn settle(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dispatch(run) => self.dispatched(run),
                Effect::Stage(output) => self.staged.push(output),
                Effect::Commit { transaction, .. } => {
                    let outputs = std::mem::take(&mut self.staged);
                    let result = if self.random.chance(10) {
                        CommitResult::Aborted(outputs)
                    } else {
                        outputs.into_iter().for_each(|output| self.committed(output));
                        CommitResult::Committed
                    };
                    self.engine.transaction_ended(self.now, transaction, result);
                }
                _ => {}
            }
        }
    }

    /// I3, I6, I7, all under the routes that are in force now.
    fn dispatched(&mut self, run: Vec<Job<Payload>>) {
        for (index, job) in run.iter().enumerate() {
            let payload = job.payload;
            let route = self.routes[payload.kind].as_ref().expect("what no route takes does not run");
            assert!(job.attempt <= route.retry.max_attempts(), "I6: attempt {} of {payload:?}", job.attempt);
            let before = self.polled.min(payload.offset);
            for earlier in (0..before).filter(|earlier| same_lane(route, &payload, &self.events[*earlier as usize])) {
                let in_run = run[..index].iter().any(|job| job.payload.offset == earlier);
                assert!(in_run || self.has_ended(earlier), "I3: {payload:?} begins before {earlier} has ended");
            }
            let beside = self.out.iter().find(|out| same_lane(route, &payload, &self.events[**out as usize]));
            let in_run = beside.is_none_or(|out| run[..index].iter().any(|job| job.payload.offset == *out));
            assert!(in_run, "I3: {payload:?} begins beside {beside:?}");
            self.out.insert(payload.offset);
        }
        let kind = run[0].payload.kind;
        let of_kind = self.out.iter().filter(|out| self.events[**out as usize].kind == kind).count();
        let concurrency = self.routes[kind].as_ref().map_or(0, |route| route.concurrency);
        assert!(of_kind <= concurrency, "I7: {of_kind} of {concurrency} in flight");
        self.runs.push(run.into());
    }

    fn has_ended(&self, offset: i64) -> bool {
        let staged = self.staged.iter().any(|output| output.payload.offset == offset && output.disposition.resolves());
        staged || self.fates[&offset].end.is_some()
    }

    /// I2, I6.
    fn committed(&mut self, output: Output<Payload, u32>) {
        let fate = self.fates.get_mut(&output.payload.offset).expect("it was published");
        assert_eq!(fate.end, None, "I2: {:?} ends again with {:?}", output.payload, output.disposition);
        if let Some(attempt) = output.report {
            assert_eq!((attempt, output.attempt), (fate.attempts + 1, fate.attempts + 1), "I6: {output:?}");
            fate.attempts += 1;
        } else {
            assert_eq!(output.attempt, fate.attempts, "I6: {output:?}");
        }
        if output.disposition.resolves() {
            fate.end = Some(output.disposition);
        }
    }
}

/// Whether the earlier record keeps this one waiting under this route, which has to be its own too.
fn same_lane(route: &RoutePolicy, payload: &Payload, other: &Payload) -> bool {
    payload.kind == other.kind
        && payload.offset != other.offset
        && match route.ordering {
            Ordering::Partition => true,
            Ordering::Key | Ordering::Strict => payload.key == other.key,
            Ordering::None => false,
        }
}

fn arrival(payload: &Payload, ids: &[Option<RouteId>; KINDS]) -> Arrival<Payload> {
    Arrival {
        offset: Offset(payload.offset),
        bytes: 10,
        verdict: verdict(ids, payload),
        identity: None,
        tenant: payload.key % 2,
        attempts: 0,
        done: 0,
        not_before: None,
        payload: *payload,
    }
}

#[test]
fn every_seed_keeps_order_attempts_and_records_while_routes_change() {
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..SEEDS {
        let ended = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.fates.into_values().filter_map(|fate| fate.end).collect::<Vec<_>>()
        });
        let ended = ended.unwrap_or_else(|_| panic!("seed {seed} of rerouting"));
        ended.into_iter().for_each(|end| *ends.entry(format!("{end:?}")).or_default() += 1);
    }
    println!("{SEEDS} seeds: {ends:?}");
    for end in ["Processed", "Unprocessed", "DeadLetter { class: Transient }"] {
        assert!(ends.contains_key(end), "no seed has the end {end}: {ends:?}");
    }
}
