//! The smallest application that the driver can run: every record is routed by its key to one handler, which succeeds,
//! unless the record's value says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use coafi::engine::retry::{Backoff, Policy};
use coafi::engine::{
    Arrival, Attempt, CircuitSettings, Class, Dependency, Disposition, Epoch, Exhausted, Finished, HandlerList, Job,
    Ordering, Output, Overflow, PartitionId, Rerouted, RouteId, RoutePolicy, Settings, TenantPolicy, Verdict,
};
use coafi::event::{
    Headers, HeadersBuilder, Identity, NextOffset, Offset, Outgoing, Record, TopicPartition, lane_hash,
};
use coafi::kafka::{Application, Claims, Config, Inbox, Parts, PolledBatch, Replica, Results};
use coafi::runtime::Clock;
use coafi::store::Fence;

pub(crate) struct Echo {
    pub(crate) outcomes: Arc<str>,
    pub(crate) receipts: Option<Arc<str>>,
    runs: Sender<(Vec<Job<Record>>, i64)>,
    pub(crate) started: Arc<AtomicU64>,
}

impl Echo {
    /// One worker thread, which ends with the application.
    fn new(outcomes: &str, receipts: Option<&str>, results: Results<Record, String>, gate: Gate) -> Self {
        let (runs, queue) = channel::<(Vec<Job<Record>>, i64)>();
        let started = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&started);
        std::thread::spawn(move || {
            while let Ok((run, claim)) = queue.recv() {
                let mut stopped = false;
                let finished = run.into_iter().map(|job| {
                    let verdict = if stopped { Attempt::NotStarted } else { attempt(&job, claim, &gate) };
                    counter.fetch_add(u64::from(!stopped), Atomic::Relaxed);
                    stopped |= verdict != Attempt::Succeeded;
                    Finished {
                        ticket: job.ticket,
                        verdict,
                        done: job.done,
                        took: Duration::ZERO,
                        wait: Duration::ZERO,
                        report: Some(format!("#{}", job.attempt)),
                    }
                });
                results.finished(finished.collect());
            }
        });
        Self { outcomes: outcomes.into(), receipts: receipts.map(Into::into), runs, started }
    }
}

/// Handlers of `gate …` wait while it is closed.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new((Mutex::new(true), Condvar::new())))
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |closed| *closed).unwrap());
    }
}

/// `fail 2 …` fails twice, `dead …` never succeeds, `filter …` is not wanted, `claim 2 …` needs a second claim, `gate …` waits
/// for the [`Gate`].
fn attempt(job: &Job<Record>, claim: i64, gate: &Gate) -> Attempt {
    let value = String::from_utf8_lossy(job.payload.value().unwrap_or_default()).into_owned();
    let mut words = value.split(' ');
    match (words.next(), words.next().and_then(|n| n.parse::<u32>().ok())) {
        (Some("fail"), Some(times)) if job.attempt <= times => Attempt::Failed { class: Class::Transient, code: 7 },
        (Some("claim"), Some(least)) if claim < i64::from(least) => Attempt::Fenced,
        (Some("dead"), _) => Attempt::Failed { class: Class::Permanent, code: 8 },
        (Some("filter"), _) => Attempt::Filtered,
        (Some("gate"), _) => {
            gate.pass();
            Attempt::Succeeded
        }
        _ => Attempt::Succeeded,
    }
}

pub(crate) fn outcome_name(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Processed => "processed",
        Disposition::Duplicate { .. } => "duplicate",
        Disposition::Filtered => "filtered",
        Disposition::RetryInPlace { .. } => "retry",
        Disposition::RetryTopic { .. } => "moved",
        Disposition::DeadLetter { .. } => "dead",
        Disposition::Unprocessed => "unprocessed",
        Disposition::Halted { .. } => "halted",
    }
}

impl Application for Echo {
    type Payload = Record;
    type Report = String;
    type Routes = ();

    fn classify(&self, _routes: &(), record: Record, _clock: &Clock) -> Arrival<Record> {
        Arrival {
            offset: record.offset(),
            bytes: u32::try_from(record.size()).unwrap(),
            verdict: Verdict::Routed { route: RouteId(0), lane: lane_hash(record.key().unwrap_or_default()) },
            identity: None,
            tenant: 0,
            attempts: 0,
            done: 0,
            not_before: None,
            payload: record,
        }
    }

    fn reclassify(&self, _routes: &(), payload: &Record) -> Rerouted<Record> {
        let verdict = Verdict::Routed { route: RouteId(0), lane: lane_hash(payload.key().unwrap_or_default()) };
        Rerouted { verdict, payload: payload.clone() }
    }

    fn identity(&self, _record: &Record) -> Option<Identity> {
        None
    }

    fn submit(&self, run: Vec<Job<Record>>, fence: Option<&Fence>) {
        self.runs.send((run, fence.map_or(0, |fence| fence.epoch))).unwrap();
    }

    fn recall(&self, _partition: PartitionId, _epoch: Epoch) {}

    fn cancel(&self, _partition: PartitionId, _epoch: Epoch) {}

    fn receipts(&self, batch: &PolledBatch<'_, Record>) -> Vec<Outgoing> {
        let value = format!("{} {} {} {}", batch.source, batch.from, batch.to, batch.records.len());
        self.receipts.iter().map(|topic| outgoing(topic, None, value.clone(), Headers::default())).collect()
    }

    /// Value: `partition offset attempt outcome`, then the record's value; headers: the record's.
    fn render(
        &self,
        source: &TopicPartition,
        output: &Output<Record, String>,
        _clock: &Clock,
        into: &mut Vec<Outgoing>,
    ) {
        let record = &output.payload;
        let outcome = outcome_name(&output.disposition);
        let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        let value = format!("{} {} {} {outcome} {value}", source.partition, record.offset(), output.attempt);
        let mut headers = HeadersBuilder::default();
        for (name, content) in record.headers().iter() {
            headers.push(name, content);
        }
        into.push(outgoing(&self.outcomes, record.key(), value, headers.build()));
    }

    fn events_lost(&self, source: &TopicPartition, from: Offset, to: NextOffset) -> Vec<Outgoing> {
        vec![outgoing(&self.outcomes, None, format!("lost {source} {from} {to}"), Headers::default())]
    }

    fn down(&self, _dependencies: BTreeSet<Dependency>) {}

    fn probe(&self, _dependency: &Dependency, answer: Box<dyn FnOnce(bool) + Send>) {
        answer(true);
    }
}

fn outgoing(topic: &Arc<str>, key: Option<&[u8]>, value: String, headers: Headers) -> Outgoing {
    Outgoing {
        topic: Arc::clone(topic),
        partition: None,
        key: key.map(|key| key.to_vec().into()),
        value: Some(value.into_bytes().into()),
        headers,
        timestamp_ms: None,
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        max_records: 30_000,
        max_bytes: 64 << 20,
        max_in_flight: 2_000,
        max_run: 64,
        commit_interval: Duration::from_millis(100),
        commit_max_records: 10_000,
        drain_timeout: Duration::from_secs(10),
        dedup_window: 0,
        dedup_max_entries: 0,
        max_parked: 64,
        max_metadata_bytes: coafi::engine::offset_map::MAX_METADATA_BYTES,
        suspect_after: 3,
        crash_deaths: 3,
        circuit: CircuitSettings {
            failures: 5,
            decide_within: Duration::from_millis(500),
            same_error_lanes: 1_000,
            probe: Backoff { initial: Duration::from_millis(50), cap: Duration::from_secs(1) },
            looks_every: Duration::from_secs(30),
            escalate_after: Duration::from_secs(60),
        },
    }
}

pub(crate) fn route() -> RoutePolicy {
    RoutePolicy {
        handlers: HandlerList::default(),
        ordering: Ordering::Key,
        retry: Policy {
            in_place_attempts: 3,
            backoff: Backoff { initial: Duration::from_millis(5), cap: Duration::from_millis(50) },
            tiers: Vec::new(),
            fault_attempts: 2,
        },
        overflow: Overflow::DeadLetter,
        exhausted: Exhausted::DeadLetter,
        concurrency: 2_000,
        tenant: TenantPolicy::default(),
        dependencies: Vec::new(),
        write_ahead: false,
    }
}

/// A running replica over an [`Echo`], and how many attempts its handler has made.
pub(crate) fn start(config: Config, outcomes: &str, receipts: Option<&str>) -> (Replica<Echo>, Arc<AtomicU64>) {
    start_with(config, outcomes, receipts, Around::default())
}

/// What a test may have otherwise around the replica.
pub(crate) struct Around {
    pub(crate) settings: Settings,
    pub(crate) gate: Gate,
    pub(crate) claims: Counted,
}

impl Default for Around {
    fn default() -> Self {
        Self { settings: settings(), gate: Gate::default(), claims: Counted::default() }
    }
}

pub(crate) fn start_with(
    config: Config,
    outcomes: &str,
    receipts: Option<&str>,
    around: Around,
) -> (Replica<Echo>, Arc<AtomicU64>) {
    let Around { settings, gate, claims } = around;
    if std::env::var_os("COAFI_TEST_LOG").is_some() {
        // The first test of the process wins; the others log to the same place.
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_thread_names(true).try_init();
    }
    let inbox = Inbox::new();
    let application = Arc::new(Echo::new(outcomes, receipts, inbox.results(), gate));
    let started = Arc::clone(&application.started);
    let parts = Parts {
        config,
        application,
        inbox,
        settings,
        routes: (),
        policies: vec![route()],
        clock: Clock::start(),
        seed: 1,
        claims: Some(Box::new(claims)),
        reports: None,
    };
    (Replica::start(parts).unwrap(), started)
}

/// Claims from 1 upwards, as an empty database gives them.
#[derive(Default)]
pub(crate) struct Counted {
    /// Requests that are not answered, before the first that is.
    pub(crate) away: AtomicU64,
    pub(crate) given: Mutex<BTreeMap<(String, i32), i64>>,
}

impl Claims for Counted {
    fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, String> {
        if self.away.fetch_update(Atomic::Relaxed, Atomic::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err("the database is away".to_owned());
        }
        let mut claims = self.given.lock().unwrap();
        let next = |(topic, partition, _): &(String, i32, i64)| {
            let epoch = claims.entry((topic.clone(), *partition)).or_default();
            *epoch += 1;
            Fence { group: group.to_owned(), topic: topic.clone(), partition: *partition, epoch: *epoch }
        };
        Ok(partitions.iter().map(next).collect())
    }
}
