//! Partitions that come and go: what is said to whom, and what is left behind.

use super::*;

fn rebuilds(position: i64, log_start: i64, deduplicated: bool, window: u32) -> bool {
    let mut bench = Bench::unassigned(Settings { dedup_window: window, ..settings() }, vec![route()]);
    let assignment = Assignment { log_start: NextOffset(log_start), deduplicated, ..assignment(P0, position, "") };
    bench.assign(&assignment);
    bench.has(|effect| matches!(effect, Effect::RebuildDedup { .. }))
}

#[test]
fn the_deduplication_window_is_rebuilt_where_there_is_one_and_something_to_read() {
    assert!(rebuilds(10, 5, true, 100));
    assert!(!rebuilds(10, 10, true, 100), "nothing is left before the position");
    assert!(!rebuilds(10, 5, false, 100), "a retry topic");
    assert!(!rebuilds(10, 5, true, 0), "switched off");
}

#[test]
fn records_wait_for_the_window_and_are_looked_up_in_it() {
    let mut bench = Bench::unassigned(settings(), vec![route()]);
    bench.assign(&Assignment { log_start: NextOffset(0), ..assignment(P0, 10, "") });
    let mut again = arrival(10, 1);
    again.identity = Some(Identity(3));
    bench.poll_arrivals(vec![again, arrival(11, 1)]);
    assert!(bench.running().is_empty());
    bench.engine.dedup_rebuilt(bench.now, P0, bench.epochs[&P0], &[(Identity(3), Offset(3))]);
    bench.settle();
    assert_eq!(bench.running(), [11]);
    bench.finish(11, Attempt::Succeeded);
    assert!(bench.ends.contains(&(10, 0, Disposition::Duplicate { first_seen: Offset(3) })));
}

#[test]
fn windows_share_the_bound_on_their_entries() {
    let settings = Settings { dedup_max_entries: 4, ..settings() };
    let twice = |partitions: &[PartitionId]| {
        let mut bench = Bench::unassigned(settings.clone(), vec![route()]);
        for partition in partitions {
            bench.assign(&assignment(*partition, 0, ""));
        }
        let mut again = arrival(3, 1);
        again.identity = Some(Identity(0));
        bench.poll_arrivals(vec![arrival(0, 1), arrival(1, 1), arrival(2, 1), again]);
        bench.running().len() == 3
    };
    assert!(twice(&[P0]), "four entries remember the first of three");
    assert!(!twice(&[P0, P1]), "two entries do not");
}

#[test]
fn the_share_of_a_lost_window_is_free_again() {
    let mut bench = Bench::with(Settings { dedup_max_entries: 4, ..settings() }, 0, "");
    bench.assign(&assignment(P1, 0, ""));
    bench.lose(&[P1]);
    let mut again = arrival(3, 1);
    again.identity = Some(Identity(0));
    bench.poll_arrivals(vec![arrival(0, 1), arrival(1, 1), arrival(2, 1), again]);
    assert_eq!(bench.running(), [0, 1, 2], "the fourth is a duplicate");
}

#[test]
fn a_partition_that_is_assigned_is_neither_paused_nor_resumed() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, Attempt::Succeeded);
    assert!(bench.others.is_empty(), "{:?}", bench.others);
}

#[test]
fn a_halted_partition_stays_paused_and_hands_out_nothing() {
    let mut bench = Bench::unassigned(settings(), vec![route()]);
    bench.assign(&Assignment { log_start: NextOffset(8), ..assignment(P0, 5, "") });
    bench.poll(&[(8, 1)]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.count(|effect| matches!(effect, Effect::Pause(P0))), 1);
    assert!(!bench.has(|effect| matches!(effect, Effect::Resume(_))));
    assert!(bench.running().is_empty());
    assert_eq!(bench.position(), 5);
    assert_eq!(bench.engine.census().released, 1);
}

#[test]
fn what_the_map_names_resolved_is_not_lost_to_retention() {
    let map = offset_map::OffsetMap { resolved: vec![6..8, 10..12, 20..30], ..offset_map::OffsetMap::default() };
    let metadata = map.encode(IDENTITY, NextOffset(5), offset_map::MAX_METADATA_BYTES);
    let lost_from = |log_start: i64| {
        let mut engine: Engine<i64, ()> = Engine::new(settings(), vec![route()], 7);
        let log_start = NextOffset(log_start);
        let assignment = Assignment { log_start, continue_after_loss: true, ..assignment(P0, 5, &metadata) };
        engine.assigned(Time(1), &assignment);
        let effects: Vec<_> = std::iter::from_fn(|| engine.poll_effect()).collect();
        let alerts = effects.iter().filter_map(|effect| match effect {
            Effect::Escalate(Incident::EventsLost { from, to, .. }) => Some(from.0..to.0),
            _ => None,
        });
        let audited = effects.iter().find_map(|effect| match effect {
            Effect::Commit { lost, .. } => Some(lost.iter().map(|lost| lost.from.0..lost.to.0).collect::<Vec<_>>()),
            _ => None,
        });
        (alerts.collect::<Vec<_>>(), audited.unwrap())
    };
    assert_eq!(lost_from(11), (ranges(&[(5, 10)]), ranges(&[(5, 6), (8, 10)])));
    assert_eq!(lost_from(14), (ranges(&[(5, 14)]), ranges(&[(5, 6), (8, 10), (12, 14)])));
    assert_eq!(lost_from(6), (ranges(&[(5, 6)]), ranges(&[(5, 6)])));
    assert_eq!(lost_from(5), (vec![], vec![]));
}

#[test]
fn a_partition_halts_only_where_retention_took_what_was_unresolved() {
    for (resolved, halts) in [((6, 9), true), ((5, 8), true), ((5, 9), false), ((5, 20), false)] {
        let map = offset_map::OffsetMap { resolved: ranges(&[resolved]), ..offset_map::OffsetMap::default() };
        let metadata = map.encode(IDENTITY, NextOffset(5), offset_map::MAX_METADATA_BYTES);
        let mut bench = Bench::unassigned(settings(), vec![route()]);
        bench.assign(&Assignment { log_start: NextOffset(9), ..assignment(P0, 5, &metadata) });
        assert_eq!(bench.has(|effect| matches!(effect, Effect::Pause(P0))), halts, "{resolved:?} are resolved");
    }
}

#[test]
fn handlers_are_recalled_only_where_some_run() {
    let recalls = |bench: &Bench| bench.count(|effect| matches!(effect, Effect::Recall { partition: P0, .. }));
    let mut idle = Bench::new();
    idle.revoke(&[P0]);
    assert_eq!(recalls(&idle), 0);
    assert!(idle.engine.is_drained());
    let mut busy = Bench::new();
    busy.poll(&[(0, 1)]);
    busy.revoke(&[P0]);
    busy.revoke(&[P0]);
    assert_eq!(recalls(&busy), 1);
    assert!(!busy.engine.is_drained());
}

#[test]
fn handlers_are_stopped_when_three_quarters_of_the_drain_timeout_are_over() {
    let cancels = |bench: &Bench| bench.count(|effect| matches!(effect, Effect::Cancel { partition: P0, .. }));
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.revoke(&[P0]);
    bench.pass(milliseconds(749));
    assert_eq!(cancels(&bench), 0);
    bench.pass(milliseconds(1));
    assert_eq!(cancels(&bench), 1);
    bench.pass(milliseconds(250));
    assert_eq!(cancels(&bench), 1);
    assert!(!bench.engine.is_drained());
    bench.pass(milliseconds(1));
    assert!(bench.engine.is_drained(), "the time is up");
}

#[test]
fn a_partition_that_cannot_commit_is_given_up_without_being_cancelled() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.holds_commits = true;
    bench.finish(0, Attempt::Succeeded);
    bench.revoke(&[P0]);
    bench.pass(milliseconds(750));
    assert!(!bench.has(|effect| matches!(effect, Effect::Cancel { .. })), "nothing runs");
    bench.pass(milliseconds(251));
    assert!(bench.has(|effect| matches!(effect, Effect::Release(ids) if ids == &[P0])));
    assert!(!bench.has(|effect| matches!(effect, Effect::Abort { .. })), "a commit that is under way is not aborted");
}

#[test]
fn what_is_staged_of_a_partition_that_is_given_up_is_aborted() {
    let give_up = |staged: bool| {
        let mut bench = Bench::new();
        bench.poll(&[(0, 1), (1, 2)]);
        if staged {
            bench.finish(0, Attempt::Succeeded);
        }
        bench.engine.revoked(bench.now, &[P0]);
        bench.holds_commits = true;
        bench.pass(milliseconds(1001));
        bench.count(|effect| matches!(effect, Effect::Abort { .. }))
    };
    assert_eq!(give_up(false), 0);
}

#[test]
fn losing_a_partition_aborts_only_what_is_staged_of_it() {
    let lose = |partition| {
        let mut bench = Bench::new();
        bench.assign(&assignment(P1, 0, ""));
        bench.poll(&[(0, 1), (1, 2)]);
        bench.poll_of(P1, vec![arrival(0, 1)]);
        bench.finish(0, Attempt::Succeeded);
        assert_eq!((bench.staged.len(), bench.running.len()), (1, 2));
        bench.lose(&[partition]);
        let aborts = bench.count(|effect| matches!(effect, Effect::Abort { .. }));
        (aborts, bench.count(|effect| matches!(effect, Effect::Cancel { .. })))
    };
    assert_eq!(lose(P0), (1, 1));
    assert_eq!(lose(P1), (0, 1));
}

#[test]
fn nothing_is_cancelled_where_nothing_runs() {
    let mut bench = Bench::new();
    bench.lose(&[P0]);
    assert!(bench.others.is_empty(), "{:?}", bench.others);
}

#[test]
fn of_partitions_revoked_together_the_rest_is_released_when_one_is_lost() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll(&[(0, 1)]);
    bench.poll_of(P1, vec![arrival(0, 1)]);
    bench.revoke(&[P0, P1]);
    bench.lose(&[P0]);
    assert!(!bench.has(|effect| matches!(effect, Effect::Release(_))), "P1 still runs");
    bench.running.pop_front();
    bench.finish(0, Attempt::Succeeded);
    assert!(bench.has(|effect| matches!(effect, Effect::Release(ids) if ids == &[P1])));
    assert!(bench.engine.is_drained());
}

#[test]
fn a_lost_partition_gives_back_its_slots() {
    let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { concurrency: 1, ..route() }]);
    bench.assign(&assignment(P1, 0, ""));
    bench.poll(&[(0, 1)]);
    bench.poll_of(P1, vec![arrival(5, 1)]);
    assert_eq!(bench.running(), [0]);
    bench.lose(&[P0]);
    assert_eq!(bench.running(), [0, 5]);
}

#[test]
fn what_was_decided_for_a_lost_partition_is_not_produced() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll(&[(0, 1), (1, 2)]);
    bench.poll_of(P1, vec![arrival(7, 1)]);
    bench.holds_commits = true;
    bench.pass(milliseconds(200));
    bench.finish(0, Attempt::Succeeded);
    bench.pass(milliseconds(200));
    bench.finish(1, Attempt::Succeeded);
    bench.finish(7, Attempt::Succeeded);
    bench.lose(&[P0]);
    bench.end_commit(true);
    bench.pass(milliseconds(200));
    assert_eq!(bench.staged.iter().map(|output| output.payload).collect::<Vec<_>>(), [7]);
}

#[test]
fn the_end_of_a_partition_is_committed_once() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, Attempt::Succeeded);
    for (end, commits) in [(1, 0), (4, 1), (4, 0), (3, 0)] {
        let before = bench.commits;
        bench.engine.reached_end(bench.now, P0, bench.epochs[&P0], NextOffset(end));
        bench.pass(milliseconds(99));
        assert_eq!(bench.commits, before, "a position alone waits for the interval");
        bench.pass(milliseconds(1));
        assert_eq!(bench.commits, before + commits, "end {end}");
    }
    assert_eq!(bench.position(), 4);
}

#[test]
fn records_of_a_partition_that_leaves_are_released_at_once() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.revoke(&[P0]);
    bench.poll(&[(1, 1), (2, 1)]);
    assert_eq!(bench.engine.census().released, 2);
}

#[test]
fn what_is_lost_before_its_release_was_taken_up_is_not_released() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.holds_commits = true;
    bench.revoke(&[P0, P1]);
    // The driver hears of the commit and of the loss before it looks at what is to be done.
    let transaction = bench.held_commit.take().expect("the clean marks are committed");
    bench.engine.transaction_ended(bench.now, transaction, CommitResult::Committed);
    bench.lose(&[P0]);
    let released: Vec<_> = bench.others.iter().filter(|effect| matches!(effect, Effect::Release(_))).collect();
    assert!(matches!(released[..], [Effect::Release(ids)] if *ids == [P1]), "{released:?}");
}
