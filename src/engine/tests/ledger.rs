//! The ledger, which every route needs, and outages that last although a probe says otherwise.

use super::*;

#[test]
fn nothing_begins_while_receipts_are_not_acknowledged() {
    let mut bench = Bench::new();
    bench.engine.ledger_answers(bench.now, false);
    bench.poll(&[(0, 1)]);
    assert_eq!(bench.running(), [] as [i64; 0]);
    bench.pass(Duration::from_secs(10));
    let asked = bench.others.iter().any(|effect| matches!(effect, Effect::Probe(_)));
    assert!(!asked, "outstanding receipts are probe enough");
    bench.engine.ledger_answers(bench.now, true);
    bench.settle();
    assert_eq!(bench.running(), [0]);
}

#[test]
fn what_is_staged_when_the_ledger_goes_is_aborted_and_staged_once_more_when_it_is_back() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.staged.len(), 1, "the other one runs, so nothing is committed yet");
    bench.engine.ledger_answers(bench.now, false);
    bench.settle();
    bench.end_abort();
    bench.finish(1, Attempt::Succeeded);
    let commits = bench.commits;
    bench.pass(Duration::from_secs(10));
    assert!(bench.staged.is_empty() && bench.ends.is_empty(), "{:?}", bench.ends);
    assert_eq!(bench.commits, commits, "positions wait for the outputs");
    bench.engine.ledger_answers(bench.now, true);
    bench.settle();
    bench.pass(settings().commit_interval);
    assert_eq!(bench.ends, [(0, 1, Disposition::Processed), (1, 1, Disposition::Processed)]);
}

#[test]
fn what_has_no_outputs_is_committed_while_the_ledger_is_down() {
    let mut bench = Bench::new();
    bench.engine.ledger_answers(bench.now, false);
    bench.settle();
    let commits = bench.commits;
    bench.assign(&assignment(P1, 0, ""));
    bench.pass(settings().commit_interval);
    assert!(bench.commits > commits, "the mark of the new assignment");
}

#[test]
fn a_commit_that_is_under_way_when_the_ledger_goes_is_not_disturbed() {
    let mut bench = Bench::new();
    bench.holds_commits = true;
    bench.poll(&[(0, 1)]);
    bench.finish(0, Attempt::Succeeded);
    bench.pass(settings().commit_interval);
    assert!(bench.held_commit.is_some());
    bench.engine.ledger_answers(bench.now, false);
    bench.settle();
    assert!(!bench.has(|effect| matches!(effect, Effect::Abort { .. })));
    bench.end_commit(false);
    bench.pass(Duration::from_secs(10));
    assert!(bench.held_commit.is_none() && bench.staged.is_empty());
    bench.engine.ledger_answers(bench.now, true);
    bench.settle();
    bench.pass(settings().commit_interval);
    bench.end_commit(true);
    assert_eq!(bench.ends, [(0, 1, Disposition::Processed)]);
}

#[test]
fn a_ledger_that_is_down_for_long_is_escalated_once() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.engine.ledger_answers(bench.now, false);
    }
    let escalated =
        |bench: &Bench| bench.others.iter().filter(|e| matches!(e, Effect::Escalate(Incident::Outage { .. }))).count();
    for expected in [1, 1] {
        bench.pass(settings().circuit.escalate_after);
        assert_eq!(escalated(&bench), expected);
    }
    bench.engine.ledger_answers(bench.now, true);
    bench.engine.ledger_answers(bench.now, false);
    bench.pass(settings().circuit.escalate_after);
    assert_eq!(escalated(&bench), 2, "another outage");
}

#[test]
fn in_an_outage_one_more_failure_of_its_kind_uses_no_attempt() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    for offset in 0..4 {
        bench.finish(offset, transient(5));
    }
    let down: Vec<Dependency> = bench.engine.open_circuits().cloned().collect();
    assert_eq!(down.len(), 1, "four lanes, one error");
    // Nobody can ask what nobody knows: it is taken to be back, and one event finds out.
    bench.pass(Duration::from_secs(1));
    bench.engine.probed(bench.now, &down[0], true);
    bench.settle();
    assert_eq!(bench.running().len(), 4);
    bench.finish(0, transient(5));
    assert!(bench.engine.open_circuits().next().is_some(), "it is still down");
    bench.pass(settings().circuit.decide_within);
    assert!(bench.ends.is_empty(), "{:?}", bench.ends);
    bench.finish(1, Attempt::Succeeded);
    bench.pass(settings().commit_interval);
    assert_eq!(bench.ends, [(1, 1, Disposition::Processed)]);
}
