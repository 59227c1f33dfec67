//! When transactions are committed, and what follows from how that ended (I1, I2).

use super::*;

/// Polls without receipts.
fn poll_unreceipted(bench: &mut Bench, records: &[(i64, u64)]) {
    let records = records.iter().map(|(offset, lane)| arrival(*offset, *lane)).collect();
    bench.engine.records(bench.now, P0, bench.epochs[&P0], records);
    bench.settle();
}

fn acknowledge(bench: &mut Bench, up_to: i64) {
    bench.engine.receipts_acknowledged(bench.now, P0, bench.epochs[&P0], NextOffset(up_to));
    bench.settle();
}

#[test]
fn a_commit_waits_for_what_runs_until_the_interval_is_over() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.engine.next_wake(), Some(bench.now + milliseconds(100)));
    bench.pass(milliseconds(99));
    assert!(bench.ends.is_empty());
    bench.pass(milliseconds(1));
    assert_eq!((bench.ends.len(), bench.position()), (1, 1));
    bench.finish(1, Attempt::Succeeded);
    assert_eq!(bench.position(), 2, "nothing runs any more");
    assert_eq!(bench.engine.next_wake(), None);
}

#[test]
fn a_full_transaction_is_committed_at_once() {
    let mut bench = Bench::with(Settings { commit_max_records: 3, ..settings() }, 0, "");
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    for (offset, ends) in [(0, 0), (1, 0), (2, 3)] {
        bench.finish(offset, Attempt::Succeeded);
        assert_eq!(bench.ends.len(), ends);
    }
}

#[test]
fn nothing_is_committed_before_its_receipt() {
    let mut bench = Bench::new();
    poll_unreceipted(&mut bench, &[(0, 1), (1, 2)]);
    bench.finish(0, Attempt::Succeeded);
    bench.finish(1, Attempt::Succeeded);
    bench.pass(milliseconds(500));
    assert!(bench.ends.is_empty());
    acknowledge(&mut bench, 1);
    assert!(bench.ends.is_empty(), "the second is in the transaction too");
    acknowledge(&mut bench, 2);
    assert_eq!((bench.ends.len(), bench.position()), (2, 2));
}

#[test]
fn what_ends_while_a_transaction_waits_for_receipts_is_of_the_next() {
    let mut bench = Bench::new();
    poll_unreceipted(&mut bench, &[(0, 1), (1, 2)]);
    bench.finish(0, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    bench.finish(1, Attempt::Succeeded);
    assert_eq!(bench.staged.len(), 1);
    acknowledge(&mut bench, 1);
    assert_eq!(bench.ends, [(0, 1, Disposition::Processed)]);
    acknowledge(&mut bench, 2);
    assert_eq!(bench.position(), 2);
}

#[test]
fn a_write_ahead_route_runs_only_what_is_receipted() {
    let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { write_ahead: true, ..route() }]);
    poll_unreceipted(&mut bench, &[(0, 1), (1, 1), (2, 2)]);
    assert!(bench.running().is_empty());
    acknowledge(&mut bench, 1);
    assert_eq!(bench.running(), [0], "the second of the lane has no receipt");
    acknowledge(&mut bench, 3);
    assert_eq!(bench.running(), [0, 2]);
}

#[test]
fn aborted_commits_are_tried_again_ever_later() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.abort_next = true;
    bench.finish(0, Attempt::Succeeded);
    for back_off in [20, 40, 80, 160, 320, 640, 1_000, 1_000].map(milliseconds) {
        let interval = milliseconds(100);
        let wake = bench.engine.next_wake().expect("it is tried again");
        assert_eq!(wake - bench.now, back_off.max(interval), "what is later wakes it, whatever else happens");
        bench.pass(back_off - Duration::from_micros(1));
        bench.abort_next = true;
        bench.pass(Duration::ZERO);
        assert!(bench.abort_next, "{back_off:?} are not over");
        bench.pass(Duration::from_micros(1));
        assert!(!bench.abort_next, "{back_off:?} are over");
    }
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.ends, [(0, 1, Disposition::Processed)]);
}

#[test]
fn a_commit_that_succeeds_ends_the_back_off() {
    let mut bench = Bench::with(Settings { max_run: 1, ..settings() }, 0, "");
    bench.poll(&[(0, 1)]);
    for (offset, ends) in [(0, 1), (1, 2), (2, 3)] {
        bench.abort_next = true;
        bench.finish(offset, Attempt::Succeeded);
        bench.pass(milliseconds(19));
        assert_eq!(bench.ends.len(), ends - 1);
        bench.pass(milliseconds(1));
        assert_eq!(bench.ends.len(), ends, "20 ms again, not 40");
        bench.poll(&[(offset + 1, 1)]);
    }
}

#[test]
fn an_aborted_transaction_is_staged_in_its_order_before_what_came_later() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    bench.holds_commits = true;
    bench.finish(0, Attempt::Succeeded);
    bench.finish(1, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    bench.finish(2, Attempt::Succeeded);
    assert_eq!(bench.staged.len(), 2, "nothing is staged while a commit is under way");
    bench.end_commit(false);
    assert_eq!(bench.staged.iter().map(|output| output.payload).collect::<Vec<_>>(), [0, 1, 2]);
    bench.pass(milliseconds(20));
    bench.end_commit(true);
    assert_eq!(bench.engine.census().processed, 3);
}

#[test]
fn an_answer_to_another_transaction_changes_nothing() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.holds_commits = true;
    bench.finish(0, Attempt::Succeeded);
    let held = bench.held_commit.expect("committing");
    bench.engine.transaction_ended(bench.now, TransactionId(held.0 + 1), CommitResult::Committed);
    bench.settle();
    assert_eq!(bench.engine.census().processed, 0);
    bench.end_commit(true);
    assert_eq!(bench.engine.census().processed, 1);
}

#[test]
fn an_abort_on_purpose_costs_no_time() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll(&[(0, 1)]);
    bench.poll_of(P1, vec![arrival(5, 1), arrival(6, 2)]);
    bench.finish(0, Attempt::Succeeded);
    bench.finish(5, Attempt::Succeeded);
    bench.lose(&[P0]);
    let transaction = bench
        .others
        .iter()
        .find_map(|effect| match effect {
            Effect::Abort { transaction } => Some(*transaction),
            _ => None,
        })
        .expect("P0 had something in it");
    let staged = std::mem::take(&mut bench.staged);
    bench.engine.transaction_ended(bench.now, transaction, CommitResult::Aborted(staged));
    bench.settle();
    assert_eq!(bench.staged.iter().map(|output| output.payload).collect::<Vec<_>>(), [5]);
    bench.finish(6, Attempt::Succeeded);
    assert_eq!(bench.ends.len(), 2, "at once: nothing runs");
}

#[test]
fn the_map_says_whose_assignment_and_which_transaction_it_is_of() {
    let mut bench = Bench::new();
    let first = bench.map();
    assert_eq!((first.claim, first.dirty), (1, 1));
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    bench.finish(1, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    let second = bench.map();
    assert!(second.transaction > first.transaction);
    assert_eq!(second.resolved, ranges(&[(1, 2)]));
    let (position, metadata) = bench.committed.clone().unwrap();
    let mut next = Bench::unassigned(settings(), vec![route()]);
    next.assign(&Assignment { claim: Some(41), ..assignment(P0, position.0, &metadata) });
    assert_eq!((next.map().claim, next.map().dirty), (41, 2), "the database's claim, where there is one");
    let mut after = next.restarted();
    after.revoke(&[P0]);
    assert_eq!((after.map().claim, after.map().dirty), (42, 0), "a clean end");
}

#[test]
fn the_mark_of_an_end_is_clean_when_nothing_runs_or_waits_for_a_commit() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    bench.revoke(&[P0]);
    bench.finish(0, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    assert_eq!((bench.position(), bench.map().dirty), (1, 1), "two still run");
    bench.finish(1, Attempt::Succeeded);
    bench.finish(2, Attempt::NotStarted);
    assert_eq!((bench.position(), bench.map().dirty), (2, 0));
    assert!(bench.engine.is_drained());
}

#[test]
fn attempts_of_records_that_are_not_polled_yet_stay_in_the_map() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    bench.finish(2, transient(1));
    bench.pass(milliseconds(60));
    bench.pass(milliseconds(100));
    let attempts = bench.map().attempts;
    assert_eq!(attempts.len(), 1);
    let mut next = bench.restarted();
    assert_eq!(next.map().attempts, attempts, "with the dirty mark");
    next.poll(&[(0, 1)]);
    next.finish(0, Attempt::Succeeded);
    assert_eq!((next.position(), next.map().attempts), (1, attempts.clone()));
    next.poll(&[(1, 2), (2, 3)]);
    assert_eq!(next.running.iter().map(|job| job.attempt).collect::<Vec<_>>(), [1, 2]);
    next.finish(1, Attempt::Succeeded);
    next.pass(milliseconds(100));
    assert_eq!((next.position(), next.map().attempts), (2, attempts));
}
