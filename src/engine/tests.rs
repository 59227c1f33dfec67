//! The engine's way of working, one behaviour a test. `tests/simulation` puts it under stress.

use std::collections::VecDeque;
use std::time::Duration;

use super::retry::{Backoff, Policy};
use super::*;
use crate::event::{Identity, NextOffset, Offset};

const P0: PartitionId = PartitionId(0);

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
            escalate_after: Duration::from_secs(60),
        },
    }
}

fn route() -> RoutePolicy {
    RoutePolicy {
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
        dependencies: vec![Dependency::new("database")],
        write_ahead: false,
    }
}

/// A driver that does at once what the engine says; commits succeed unless told otherwise.
struct Bench {
    engine: Engine<i64, ()>,
    now: Time,
    epoch: Epoch,
    running: VecDeque<Job<i64>>,
    staged: Vec<Output<i64, ()>>,
    ends: Vec<(i64, u32, Disposition)>,
    committed: Option<(NextOffset, String)>,
    others: Vec<Effect<i64, ()>>,
    abort_next: bool,
}

impl Bench {
    fn new() -> Self {
        Self::assigned(0, "")
    }

    fn assigned(position: i64, metadata: &str) -> Self {
        Self::with(settings(), position, metadata)
    }

    fn with(settings: Settings, position: i64, metadata: &str) -> Self {
        let mut bench = Self {
            engine: Engine::new(settings, vec![route()], 7),
            now: Time(1),
            epoch: Epoch(0),
            running: VecDeque::new(),
            staged: Vec::new(),
            ends: Vec::new(),
            committed: None,
            others: Vec::new(),
            abort_next: false,
        };
        bench.epoch = bench.engine.assigned(
            bench.now,
            &Assignment {
                partition: P0,
                position: NextOffset(position),
                metadata,
                identity: 9,
                claim: None,
                log_start: NextOffset(position),
                continue_after_loss: false,
                deduplicated: true,
            },
        );
        bench.settle();
        bench
    }

    fn settle(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dispatch(run) => self.running.extend(run),
                Effect::Stage(output) => self.staged.push(output),
                Effect::Commit { transaction, .. } if std::mem::take(&mut self.abort_next) => {
                    let outputs = std::mem::take(&mut self.staged);
                    self.engine.transaction_ended(self.now, transaction, CommitResult::Aborted(outputs));
                }
                Effect::Commit { transaction, offsets, .. } => {
                    if let Some(commit) = offsets.into_iter().next_back() {
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

    fn poll(&mut self, records: &[(i64, u64)]) {
        let records = records.iter().map(|(offset, lane)| arrival(*offset, *lane)).collect();
        self.poll_arrivals(records);
    }

    fn poll_arrivals(&mut self, records: Vec<Arrival<i64>>) {
        let next = records.last().unwrap().offset.next();
        self.engine.records(self.now, P0, self.epoch, records);
        self.engine.receipts_acknowledged(self.now, P0, self.epoch, next);
        self.settle();
    }

    /// Ends the running attempt of the record at `offset`.
    fn finish(&mut self, offset: i64, verdict: Attempt) {
        let index = self.running.iter().position(|job| job.ticket.offset.0 == offset).expect("it runs");
        let job = self.running.remove(index).unwrap();
        self.engine.finished(self.now, Finished { ticket: job.ticket, verdict, done: 0, report: None });
        self.settle();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.engine.tick(self.now);
        self.settle();
    }

    fn running(&self) -> Vec<i64> {
        self.running.iter().map(|job| job.ticket.offset.0).collect()
    }

    fn position(&self) -> i64 {
        self.committed.as_ref().unwrap().0.0
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
        attempts: 0,
        done: 0,
        not_before: None,
        payload: offset,
    }
}

fn transient(code: u64) -> Attempt {
    Attempt::Failed { class: Class::Transient, code }
}

#[test]
fn a_slow_head_lets_other_lanes_go_on_and_a_restart_redoes_nothing() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 1), (3, 3)]);
    assert_eq!(bench.running(), [0, 2, 1, 3], "records of one lane go out as a run");
    bench.finish(1, Attempt::Succeeded);
    bench.finish(3, Attempt::Succeeded);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.position(), 0);
    let mut next = bench.restarted();
    next.poll(&[(0, 1), (1, 2), (2, 1), (3, 3)]);
    let mut again = next.running();
    again.sort_unstable();
    assert_eq!(again, [0, 2]);
    assert_eq!(next.engine.census().already_resolved, 2);
}

#[test]
fn nothing_is_dispatched_before_the_dirty_mark_is_committed() {
    let mut bench = Bench::new();
    assert_eq!(bench.position(), 0);
    let (_, metadata) = bench.committed.clone().unwrap();
    assert_eq!(offset_map::OffsetMap::decode(&metadata, 9, NextOffset(0)).unwrap().dirty, 1);
    bench.poll(&[(0, 1)]);
    assert_eq!(bench.running(), [0]);
}

#[test]
fn a_failed_head_parks_and_its_attempts_survive_a_restart() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 1), (2, 2)]);
    bench.finish(0, transient(5));
    bench.finish(1, Attempt::NotStarted);
    bench.finish(2, Attempt::Succeeded);
    assert_eq!(bench.ends.len(), 2);
    assert!(matches!(bench.ends[0], (0, 1, Disposition::RetryInPlace { .. }) | (2, 1, Disposition::Processed)));
    let mut next = bench.restarted();
    next.poll(&[(0, 1), (1, 1), (2, 2)]);
    assert_eq!(next.running(), [0, 1], "both lanes' records, but not the resolved one");
    assert_eq!(next.running[0].attempt, 2);
    next.finish(0, transient(5));
    next.finish(1, Attempt::NotStarted);
    next.pass(Duration::from_millis(60));
    next.pass(Duration::from_millis(100));
    assert!(matches!(next.ends[0], (0, 2, Disposition::RetryTopic { tier: 0, .. })), "{:?}", next.ends);
    assert_eq!(next.running(), [1]);
}

#[test]
fn an_aborted_commit_stages_again_without_running_again() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.abort_next = true;
    bench.finish(0, Attempt::Succeeded);
    assert!(bench.ends.is_empty());
    bench.pass(Duration::from_millis(30));
    assert_eq!(bench.ends, [(0, 1, Disposition::Processed)]);
    assert_eq!(bench.position(), 1);
}

#[test]
fn a_revoked_partition_drains_commits_cleanly_and_is_released() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 2)]);
    bench.finish(1, Attempt::Succeeded);
    bench.engine.revoked(bench.now, &[P0]);
    bench.settle();
    assert!(!bench.others.iter().any(|effect| matches!(effect, Effect::Release(_))));
    bench.finish(0, Attempt::Succeeded);
    bench.finish(2, Attempt::NotStarted);
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Release(ids) if ids == &[P0])));
    assert!(bench.engine.is_drained());
    let (position, metadata) = bench.committed.clone().unwrap();
    assert_eq!(position, NextOffset(2));
    assert_eq!(offset_map::OffsetMap::decode(&metadata, 9, position).unwrap().dirty, 0);
}

#[test]
fn a_handler_that_outlives_the_drain_is_cancelled_and_its_record_released() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.engine.revoked(bench.now, &[P0]);
    bench.pass(Duration::from_secs(1));
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Cancel { .. })));
    bench.finish(0, Attempt::Cancelled);
    assert!(bench.engine.is_drained());
    assert_eq!(bench.engine.census().released, 1);
    assert_eq!(bench.position(), 0);
}

#[test]
fn a_lost_partition_aborts_what_it_has_staged_and_stale_results_are_dropped() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.staged.len(), 1, "record 1 still runs, so nothing is committed yet");
    bench.engine.lost(bench.now, &[P0]);
    bench.settle();
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Abort { .. })));
    let (staged, id) = (std::mem::take(&mut bench.staged), TransactionId(2));
    bench.engine.transaction_ended(bench.now, id, CommitResult::Aborted(staged));
    bench.finish(1, Attempt::Succeeded);
    bench.pass(Duration::from_secs(1));
    assert!(bench.staged.is_empty() && bench.ends.is_empty());
    assert_eq!(bench.engine.census().released, 2);
}

#[test]
fn an_outage_uses_no_attempts_and_ends_with_an_answer() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    for offset in 0..3 {
        bench.finish(offset, Attempt::Failed { class: Class::Systemic(Dependency::new("database")), code: 1 });
    }
    bench.finish(3, Attempt::Failed { class: Class::Systemic(Dependency::new("database")), code: 1 });
    assert!(bench.engine.open_circuits().next().is_some());
    bench.pass(Duration::from_secs(1));
    assert!(bench.running().is_empty());
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Probe(_))));
    bench.engine.probed(bench.now, &Dependency::new("database"), true);
    bench.settle();
    assert_eq!(bench.running.iter().map(|job| job.attempt).collect::<Vec<_>>(), [1; 4]);
    assert!(bench.ends.is_empty());
}

#[test]
fn the_same_error_in_enough_lanes_is_an_outage_and_a_success_clears_the_doubt() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    for offset in 0..3 {
        bench.finish(offset, transient(5));
    }
    assert!(bench.ends.is_empty() && bench.engine.open_circuits().next().is_none());
    bench.finish(3, transient(5));
    assert!(bench.engine.open_circuits().next().is_some(), "four lanes, one error");
    let mut cleared = Bench::new();
    cleared.poll(&[(0, 1), (1, 2), (2, 3)]);
    cleared.finish(0, transient(5));
    cleared.finish(1, transient(5));
    cleared.finish(2, Attempt::Succeeded);
    assert_eq!(cleared.ends.len(), 3, "the success decides that both failures are the records' own");
}

#[test]
fn duplicates_are_found_but_not_at_their_own_offset() {
    let mut bench = Bench::new();
    let mut duplicate = arrival(1, 1);
    duplicate.identity = Some(Identity(0));
    bench.poll_arrivals(vec![arrival(0, 1), duplicate]);
    bench.finish(0, Attempt::Succeeded);
    assert!(bench.ends.contains(&(1, 0, Disposition::Duplicate { first_seen: Offset(0) })));
    assert_eq!(bench.position(), 2);
}

#[test]
fn the_end_of_the_partition_moves_the_position_over_markers() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, Attempt::Succeeded);
    bench.engine.reached_end(bench.now, P0, bench.epoch, NextOffset(2));
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.position(), 2);
}

#[test]
fn a_record_that_kills_three_processes_is_dead_lettered_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    for _death in 0..8 {
        bench.poll(&[(0, 1), (1, 2)]);
        bench.pass(Duration::from_millis(1));
        if bench.ends.iter().any(|(offset, ..)| *offset == 0) {
            break;
        }
        // The process dies while record 0 runs.
        bench = bench.restarted();
    }
    let crash = Disposition::DeadLetter { class: Class::Crash };
    assert!(bench.ends.iter().any(|(offset, _, end)| *offset == 0 && *end == crash), "{:?}", bench.ends);
    bench.finish(1, Attempt::Succeeded);
    assert_eq!(bench.position(), 2);
}

#[test]
fn a_position_that_retention_has_passed_is_audited_and_stands_still() {
    let mut engine: Engine<i64, ()> = Engine::new(settings(), vec![route()], 7);
    let assignment = Assignment {
        partition: P0,
        position: NextOffset(5),
        metadata: "",
        identity: 9,
        claim: None,
        log_start: NextOffset(50),
        continue_after_loss: false,
        deduplicated: true,
    };
    let epoch = engine.assigned(Time(1), &assignment);
    let effects: Vec<_> = std::iter::from_fn(|| engine.poll_effect()).collect();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Pause(P0))));
    let lost = EventsLost { partition: P0, epoch, from: Offset(5), to: NextOffset(50) };
    assert!(effects.iter().any(|effect| {
        matches!(effect, Effect::Commit { offsets, lost: audited, .. }
            if offsets[0].position == NextOffset(5) && audited == &[lost])
    }));
}

#[test]
fn a_full_buffer_stops_polling_and_a_hot_partition_is_paused() {
    let mut bench = Bench::new();
    let records: Vec<_> = (0..1_000).map(|offset| (offset, 1)).collect();
    bench.poll(&records);
    assert!(!bench.engine.has_room());
    let more: Vec<_> = (1_000..2_100).map(|offset| (offset, 1)).collect();
    bench.poll(&more);
    assert!(bench.others.iter().any(|effect| matches!(effect, Effect::Pause(P0))));
    assert!(bench.engine.has_room(), "the last third is for other partitions");
}
