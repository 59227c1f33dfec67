//! A record's way through the engine, one behaviour a test.

use std::collections::BTreeSet;

use super::*;

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
    assert_eq!(offset_map::OffsetMap::decode(&metadata, IDENTITY, NextOffset(0)).unwrap().dirty, 1);
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
    assert_eq!(offset_map::OffsetMap::decode(&metadata, IDENTITY, position).unwrap().dirty, 0);
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
    bench.engine.reached_end(bench.now, P0, bench.epochs[&P0], NextOffset(2));
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.position(), 2);
}

#[test]
fn a_record_that_kills_three_processes_is_dead_lettered_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    for _death in 0..8 {
        bench.poll(&[(0, 1), (1, 2), (2, 3)]);
        if bench.has(|effect| matches!(effect, Effect::Escalate(Incident::Crash { .. }))) && bench.ends.is_empty() {
            assert!(bench.running().is_empty(), "a death before that is committed would be another record's");
        }
        bench.pass(Duration::from_millis(100));
        if bench.ends.iter().any(|(offset, ..)| *offset == 0) {
            break;
        }
        // The process dies while record 0 runs.
        bench = bench.restarted();
    }
    let crash = Disposition::DeadLetter { class: Class::Crash };
    assert_eq!(bench.ends, [(0, 1, crash)], "the attempt that it died in counts");
    let running: BTreeSet<i64> = bench.running().into_iter().collect();
    assert_eq!(running, BTreeSet::from([1, 2]), "no longer one at a time");
    bench.finish(2, Attempt::Succeeded);
    bench.finish(1, Attempt::Succeeded);
    assert_eq!(bench.position(), 3);
}

#[test]
fn a_position_that_retention_has_passed_is_audited_and_stands_still() {
    let mut engine: Engine<i64, ()> = Engine::new(settings(), vec![route()], 7);
    let assignment = Assignment {
        partition: P0,
        position: NextOffset(5),
        metadata: "",
        identity: IDENTITY,
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
