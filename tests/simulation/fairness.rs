//! One noisy tenant or key beside quiet ones, in virtual time: how long a record waits for its end, to the microsecond.
//!
//! Handlers take 5 to 10 ms and slots are few. The quiet ones alone leave more than half of the slots free; the noisy one
//! has two thousand records waiting at any time, in the same partition. (Behind more than the offset map's window holds,
//! nobody could be reached: see `docs/routes.md`.)

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use coafi_core::engine::{
    Arrival, Assignment, Attempt, CommitResult, Effect, Engine, Epoch, Finished, Job, PartitionId, RouteId,
    RoutePolicy, Settings, TenantPolicy, TenantQuota, Time, Verdict,
};
use coafi_core::event::{NextOffset, Offset};

use crate::profile::Profile;

const P0: PartitionId = PartitionId(0);
const SLOTS: usize = 8;
/// What is measured: long enough that a p99 is one of many.
const LASTS: Duration = Duration::from_secs(20);
/// By how much somebody noisy may raise the others' p99.
const BOUND: u32 = 2;

/// Records that come evenly, or as fast as they end.
#[derive(Clone, Copy, Debug)]
struct Stream {
    tenant: u64,
    /// Used in turn: the first, and how many.
    keys: (u64, u64),
    /// `None`: [`BACKLOG`] records wait at any time.
    every: Option<Duration>,
}

const BACKLOG: u64 = 2_000;

const NOISY: u64 = 1_000;

/// One key, or one tenant of its own, each.
fn quiet(tenant_of: impl Fn(u64) -> u64) -> Vec<Stream> {
    (1..=9)
        .map(|n| Stream { tenant: tenant_of(n), keys: (n, 1), every: Some(Duration::from_micros(20_000 + 137 * n)) })
        .collect()
}

fn noisy(tenant: u64, keys: u64) -> Stream {
    Stream { tenant, keys: (NOISY, keys), every: None }
}

enum What {
    Arrives(Stream, u64),
    Ends(usize),
    Tick,
}

struct World {
    engine: Engine<Time, ()>,
    epoch: Epoch,
    now: Time,
    queue: BTreeMap<(Time, u64), What>,
    /// The next tick that is planned.
    wakes_at: Option<Time>,
    sequence: u64,
    offset: i64,
    runs: Vec<VecDeque<Job<Time>>>,
    /// By offset.
    streams: BTreeMap<i64, Stream>,
    /// Records of streams that come as fast as they end.
    unpaced: u64,
    /// Of each key.
    waited: BTreeMap<u64, Vec<Duration>>,
    /// Whether workers say how long records take.
    paced: bool,
}

fn settings() -> Settings {
    Settings {
        max_records: 1_000_000,
        max_bytes: 1 << 40,
        max_in_flight: 1_024,
        max_run: 64,
        ..Profile::quiet().settings
    }
}

impl World {
    fn new(policy: RoutePolicy, paced: bool) -> Self {
        let mut engine = Engine::new(settings(), vec![policy], 7);
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
        let mut world = Self {
            engine,
            epoch,
            now: Time(0),
            queue: BTreeMap::new(),
            wakes_at: None,
            sequence: 0,
            offset: 0,
            runs: Vec::new(),
            streams: BTreeMap::new(),
            unpaced: 0,
            waited: BTreeMap::new(),
            paced,
        };
        world.settle();
        world
    }

    fn at(&mut self, time: Time, what: What) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), what);
    }

    /// Everything that comes until the end, and what became of it.
    fn run(mut self, streams: &[Stream]) -> BTreeMap<u64, Vec<Duration>> {
        for stream in streams {
            let at_once = if stream.every.is_none() { BACKLOG } else { 1 };
            (0..at_once).for_each(|count| self.at(Time(0), What::Arrives(*stream, count)));
            self.unpaced = self.unpaced.max(at_once);
        }
        while let Some(((time, _), what)) = self.queue.pop_first() {
            if time - Time(0) > LASTS {
                break;
            }
            self.now = time;
            match what {
                What::Arrives(stream, count) => self.arrives(stream, count),
                What::Ends(run) => self.ends(run),
                What::Tick => {
                    self.wakes_at = None;
                    self.engine.tick(time);
                }
            }
            self.settle();
        }
        self.waited
    }

    fn arrives(&mut self, stream: Stream, count: u64) {
        let (first, keys) = stream.keys;
        let key = first + count % keys;
        let offset = Offset(self.offset);
        self.offset += 1;
        self.streams.insert(offset.0, stream);
        let arrival = Arrival {
            offset,
            bytes: 100,
            verdict: Verdict::Routed { route: RouteId(0), lane: key },
            identity: None,
            tenant: stream.tenant,
            attempts: 0,
            done: 0,
            not_before: None,
            payload: self.now,
        };
        self.engine.records(self.now, P0, self.epoch, vec![arrival]);
        self.engine.receipts_acknowledged(self.now, P0, self.epoch, offset.next());
        if let Some(every) = stream.every {
            self.at(self.now + every, What::Arrives(stream, count + 1));
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dispatch(run) => {
                    self.runs.push(run.into());
                    self.begin(self.runs.len() - 1);
                }
                Effect::Commit { transaction, .. } => {
                    self.engine.transaction_ended(self.now, transaction, CommitResult::Committed);
                }
                _ => {}
            }
        }
        if let Some(wake) = self.engine.next_wake().filter(|wake| self.wakes_at.is_none_or(|planned| *wake < planned)) {
            let wake = wake.max(self.now + Duration::from_micros(1));
            self.wakes_at = Some(wake);
            self.at(wake, What::Tick);
        }
    }

    /// The next record of a run begins.
    fn begin(&mut self, run: usize) {
        if let Some(job) = self.runs[run].front() {
            let ends = self.now + takes(job);
            self.at(ends, What::Ends(run));
        }
    }

    fn ends(&mut self, run: usize) {
        let job = self.runs[run].pop_front().expect("it was begun");
        let took = if self.paced { takes(&job) } else { Duration::ZERO };
        let stream = self.streams[&job.ticket.offset.0];
        self.waited.entry(stream.keys.0).or_default().push(self.now - job.payload);
        self.engine.finished(
            self.now,
            Finished {
                ticket: job.ticket,
                verdict: Attempt::Succeeded,
                done: 0,
                took,
                wait: Duration::ZERO,
                report: None,
            },
        );
        self.begin(run);
        if stream.every.is_none() {
            self.unpaced += 1;
            self.arrives(stream, self.unpaced);
        }
    }
}

/// 5 to 10 ms, by the record.
fn takes(job: &Job<Time>) -> Duration {
    let mixed = job.ticket.offset.0.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Duration::from_micros(5_000 + mixed % 5_000)
}

fn policy(tenant: TenantPolicy) -> RoutePolicy {
    let route = Profile::quiet().routes.remove(0);
    RoutePolicy { concurrency: SLOTS, tenant, ..route }
}

fn p99(mut waited: Vec<Duration>) -> Duration {
    assert!(waited.len() > 100, "too few to have a p99: {}", waited.len());
    waited.sort_unstable();
    waited[waited.len() * 99 / 100]
}

/// The highest p99 of the quiet ones.
fn quiet_p99(waited: BTreeMap<u64, Vec<Duration>>) -> Duration {
    waited.into_iter().filter(|(key, _)| *key < NOISY).map(|(_, waited)| p99(waited)).max().unwrap()
}

fn with_and_without(noisy: Stream, tenant_of: impl Fn(u64) -> u64 + Copy, paced: bool) -> (Duration, Duration) {
    let world = || World::new(policy(TenantPolicy::default()), paced);
    let alone = quiet_p99(world().run(&quiet(tenant_of)));
    let mut streams = quiet(tenant_of);
    streams.push(noisy);
    (alone, quiet_p99(world().run(&streams)))
}

#[test]
fn a_noisy_tenant_does_not_double_the_p99_of_the_others() {
    let own = |n| n;
    let (alone, beside) = with_and_without(noisy(NOISY, 500), own, true);
    println!("p99 of the quiet tenants: alone {alone:?}, beside the noisy one {beside:?}");
    assert!(beside <= alone * BOUND, "alone {alone:?}, beside the noisy one {beside:?}");
    let (alone, beside) = with_and_without(noisy(0, 500), |_| 0, true);
    assert!(beside > alone * BOUND, "the turns of tenants are what does it: {alone:?}, {beside:?}");
}

#[test]
fn a_noisy_key_does_not_double_the_p99_of_the_others() {
    let (alone, beside) = with_and_without(noisy(0, 1), |_| 0, true);
    println!("p99 of the quiet keys: alone {alone:?}, beside the noisy one {beside:?}");
    assert!(beside <= alone * BOUND, "alone {alone:?}, beside the noisy one {beside:?}");
    let (alone, beside) = with_and_without(noisy(0, 1), |_| 0, false);
    assert!(beside > alone * BOUND, "short runs of slow records are what does it: {alone:?}, {beside:?}");
}

#[test]
fn a_quota_holds_a_tenant_to_its_rate_and_nobody_else() {
    let quota = TenantPolicy { quota: Some(TenantQuota { per_second: 100, burst: 10 }), ..TenantPolicy::default() };
    let mut streams = quiet(|n| n);
    streams.push(noisy(NOISY, 500));
    let waited = World::new(policy(quota), true).run(&streams);
    let seconds = usize::try_from(LASTS.as_secs()).unwrap();
    let done = waited[&NOISY].len();
    assert!((99 * seconds..=100 * seconds + 10).contains(&done), "{done} of the noisy tenant in {seconds} s");
    let alone = quiet_p99(World::new(policy(quota), true).run(&quiet(|n| n)));
    assert!(quiet_p99(waited) <= alone * BOUND);
}

#[test]
fn a_bound_leaves_slots_free_for_the_others() {
    let bound = TenantPolicy { concurrency: SLOTS / 2, ..TenantPolicy::default() };
    let mut streams = quiet(|n| n);
    streams.push(noisy(NOISY, 500));
    let waited = World::new(policy(bound), true).run(&streams);
    let alone = quiet_p99(World::new(policy(bound), true).run(&quiet(|n| n)));
    let beside = quiet_p99(waited);
    assert!(beside <= alone * 3 / 2, "alone {alone:?}, beside the noisy one {beside:?}");
}
