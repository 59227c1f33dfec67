//! The engine's way of working, one behaviour a test. `tests/simulation` puts it under stress.

mod alone;
mod bounds;
mod committing;
mod inspection;
mod ledger;
mod outages;
mod partitions;
mod rerouting;
mod retrying;
mod suspects;
mod windows;
mod working;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::retry::{Backoff, Policy};
use super::*;
use crate::event::{Identity, NextOffset, Offset};

const P0: PartitionId = PartitionId(0);
const P1: PartitionId = PartitionId(1);

/// The identity of every partition's offset maps.
const IDENTITY: u64 = 9;

fn settings() -> Settings {
    Settings {
        max_records: 3_000,
        max_bytes: 3 << 20,
        max_in_flight: 100,
        max_run: 16,
        commit_interval: Duration::from_millis(100),
        commit_max_records: 1_000,
        drain_timeout: Duration::from_secs(1),
        dedup_window: 100,
        dedup_max_entries: 1_000,
        max_parked: 8,
        max_metadata_bytes: offset_map::MAX_METADATA_BYTES,
        suspect_after: 2,
        crash_deaths: 3,
        circuit: CircuitSettings {
            failures: 3,
            decide_within: Duration::from_millis(50),
            same_error_lanes: 4,
            probe: Backoff { initial: Duration::from_millis(10), cap: Duration::from_secs(1) },
            looks_every: Duration::from_secs(30),
            escalate_after: Duration::from_secs(60),
        },
    }
}

fn route() -> RoutePolicy {
    RoutePolicy {
        handlers: HandlerList(1),
        ordering: Ordering::Key,
        retry: Policy {
            in_place_attempts: 2,
            backoff: Backoff { initial: Duration::from_millis(10), cap: Duration::from_secs(1) },
            tiers: vec![Duration::from_secs(5)],
            fault_attempts: 2,
        },
        overflow: Overflow::RetryTopic,
        exhausted: Exhausted::DeadLetter,
        concurrency: 100,
        tenant: TenantPolicy::default(),
        dependencies: vec![Dependency::new("database")],
        write_ahead: false,
    }
}

fn assignment(partition: PartitionId, position: i64, metadata: &str) -> Assignment<'_> {
    Assignment {
        partition,
        position: NextOffset(position),
        metadata,
        identity: IDENTITY,
        claim: None,
        log_start: NextOffset(position),
        continue_after_loss: false,
        deduplicated: true,
    }
}

/// A driver that does at once what the engine says; commits succeed unless told otherwise.
struct Bench {
    engine: Engine<i64, ()>,
    now: Time,
    epochs: BTreeMap<PartitionId, Epoch>,
    running: VecDeque<Job<i64>>,
    staged: Vec<Output<i64, ()>>,
    ends: Vec<(i64, u32, Disposition)>,
    /// The last committed offset of [`P0`].
    committed: Option<(NextOffset, String)>,
    commits: usize,
    others: Vec<Effect<i64, ()>>,
    abort_next: bool,
    /// Commits are not answered; the last one asked for.
    holds_commits: bool,
    held_commit: Option<TransactionId>,
}

impl Bench {
    fn new() -> Self {
        Self::assigned(0, "")
    }

    fn assigned(position: i64, metadata: &str) -> Self {
        Self::with(settings(), position, metadata)
    }

    fn with(settings: Settings, position: i64, metadata: &str) -> Self {
        let mut bench = Self::unassigned(settings, vec![route()]);
        bench.assign(&assignment(P0, position, metadata));
        bench
    }

    fn with_routes(settings: Settings, routes: Vec<RoutePolicy>) -> Self {
        let mut bench = Self::unassigned(settings, routes);
        bench.assign(&assignment(P0, 0, ""));
        bench
    }

    fn unassigned(settings: Settings, routes: Vec<RoutePolicy>) -> Self {
        Self {
            engine: Engine::new(settings, routes, 7),
            now: Time(1),
            epochs: BTreeMap::new(),
            running: VecDeque::new(),
            staged: Vec::new(),
            ends: Vec::new(),
            committed: None,
            commits: 0,
            others: Vec::new(),
            abort_next: false,
            holds_commits: false,
            held_commit: None,
        }
    }

    fn assign(&mut self, assignment: &Assignment<'_>) {
        let epoch = self.engine.assigned(self.now, assignment);
        self.epochs.insert(assignment.partition, epoch);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dispatch(run) => self.running.extend(run),
                Effect::Stage(output) => self.staged.push(output),
                Effect::Commit { transaction, .. } if self.holds_commits => self.held_commit = Some(transaction),
                Effect::Commit { transaction, .. } if std::mem::take(&mut self.abort_next) => {
                    let outputs = std::mem::take(&mut self.staged);
                    self.engine.transaction_ended(self.now, transaction, CommitResult::Aborted(outputs));
                }
                Effect::Commit { transaction, offsets, .. } => {
                    self.commits += 1;
                    if let Some(commit) = offsets.into_iter().rfind(|commit| commit.partition == P0) {
                        self.committed = Some((commit.position, commit.metadata));
                    }
                    for output in self.staged.drain(..) {
                        self.ends.push((output.payload, output.attempt, output.disposition));
                    }
                    self.engine.transaction_ended(self.now, transaction, CommitResult::Committed);
                }
                other => self.others.push(other),
            }
        }
        assert!(self.engine.census().adds_up(), "{:?}", self.engine.census());
    }

    /// Answers the commit that is held.
    fn end_commit(&mut self, committed: bool) {
        let transaction = self.held_commit.take().expect("a commit was asked for");
        let staged = std::mem::take(&mut self.staged);
        let result = if committed {
            self.ends.extend(staged.into_iter().map(|output| (output.payload, output.attempt, output.disposition)));
            CommitResult::Committed
        } else {
            CommitResult::Aborted(staged)
        };
        self.engine.transaction_ended(self.now, transaction, result);
        self.settle();
    }

    /// Answers the abort that was asked for.
    fn end_abort(&mut self) {
        let asked = self.others.iter().rev().find_map(|effect| match effect {
            Effect::Abort { transaction } => Some(*transaction),
            _ => None,
        });
        let outputs = std::mem::take(&mut self.staged);
        self.engine.transaction_ended(self.now, asked.expect("an abort was asked for"), CommitResult::Aborted(outputs));
        self.settle();
    }

    fn poll(&mut self, records: &[(i64, u64)]) {
        let records = records.iter().map(|(offset, lane)| arrival(*offset, *lane)).collect();
        self.poll_arrivals(records);
    }

    fn poll_arrivals(&mut self, records: Vec<Arrival<i64>>) {
        self.poll_of(P0, records);
    }

    fn poll_of(&mut self, partition: PartitionId, records: Vec<Arrival<i64>>) {
        let next = records.last().unwrap().offset.next();
        let epoch = self.epochs[&partition];
        self.engine.records(self.now, partition, epoch, records);
        self.engine.receipts_acknowledged(self.now, partition, epoch, next);
        self.settle();
    }

    /// Ends the running attempt of the record at `offset`.
    fn finish(&mut self, offset: i64, verdict: Attempt) {
        self.finish_asking(offset, verdict, Duration::ZERO);
    }

    /// ... which says how long the next one is to wait at least.
    fn finish_asking(&mut self, offset: i64, verdict: Attempt, wait: Duration) {
        let index = self.running.iter().position(|job| job.ticket.offset.0 == offset).expect("it runs");
        let job = self.running.remove(index).unwrap();
        self.engine.finished(
            self.now,
            Finished { ticket: job.ticket, verdict, done: 0, took: Duration::ZERO, wait, report: None },
        );
        self.settle();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.engine.tick(self.now);
        self.settle();
    }

    fn revoke(&mut self, partitions: &[PartitionId]) {
        self.engine.revoked(self.now, partitions);
        self.settle();
    }

    fn lose(&mut self, partitions: &[PartitionId]) {
        self.engine.lost(self.now, partitions);
        self.settle();
    }

    fn running(&self) -> Vec<i64> {
        self.running.iter().map(|job| job.ticket.offset.0).collect()
    }

    fn position(&self) -> i64 {
        self.committed.as_ref().unwrap().0.0
    }

    /// What was committed last says this.
    fn map(&self) -> offset_map::OffsetMap {
        let (position, metadata) = self.committed.as_ref().unwrap();
        offset_map::OffsetMap::decode(metadata, IDENTITY, *position).expect("ours")
    }

    fn has(&self, wanted: impl Fn(&Effect<i64, ()>) -> bool) -> bool {
        self.count(wanted) > 0
    }

    fn count(&self, wanted: impl Fn(&Effect<i64, ()>) -> bool) -> usize {
        self.others.iter().filter(|effect| wanted(effect)).count()
    }

    fn restarted(&self) -> Self {
        let (position, metadata) = self.committed.clone().unwrap();
        Self::assigned(position.0, &metadata)
    }
}

fn arrival(offset: i64, lane: u64) -> Arrival<i64> {
    Arrival {
        offset: Offset(offset),
        bytes: 100,
        verdict: Verdict::Routed { route: RouteId(0), lane },
        identity: Some(Identity(u128::try_from(offset).unwrap())),
        tenant: 0,
        attempts: 0,
        done: 0,
        not_before: None,
        payload: offset,
    }
}

/// Half-open ranges of offsets.
fn ranges(ends: &[(i64, i64)]) -> Vec<std::ops::Range<i64>> {
    ends.iter().map(|(start, end)| *start..*end).collect()
}

fn systemic(name: &str) -> Attempt {
    Attempt::Failed { class: Class::Systemic(Dependency::new(name)), code: 1 }
}

/// Dependencies whose circuit is open.
fn open(bench: &Bench) -> Vec<String> {
    bench.engine.open_circuits().map(ToString::to_string).collect()
}

fn transient(code: u64) -> Attempt {
    Attempt::Failed { class: Class::Transient, code }
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}
