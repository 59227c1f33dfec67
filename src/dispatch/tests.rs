//! Workers under a paused clock: what happens to a run, record by record.

pub(in crate::dispatch) mod fixture;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::ending::Ending;
use super::*;
use crate::engine::{Attempt, Class, Dependency, Epoch, Finished, PartitionId};
use fixture::{Bench, Script, delivery, fail, job, record};

const ONE: &str = "routes: [{name: r, match: {type: t}, handler: a, deadline: 30s}]";
const TWO: &str = "routes: [{name: r, match: {type: t}, handlers: [a, b], deadline: 30s}]";

fn ok() -> Script {
    Script::Succeed(Success::default())
}

/// Offset and what the attempt came to.
fn verdicts(results: &[Finished<Report>]) -> Vec<(i64, &str)> {
    let name = |verdict: &Attempt| match verdict {
        Attempt::Succeeded => "succeeded",
        Attempt::Filtered => "filtered",
        Attempt::Failed { class, .. } => class.name(),
        Attempt::NotStarted => "not started",
        Attempt::Cancelled => "cancelled",
        Attempt::Fenced => "fenced",
    };
    results.iter().map(|finished| (finished.ticket.offset.0, name(&finished.verdict))).collect()
}

#[tokio::test]
async fn a_run_is_handled_in_order() {
    let mut bench = Bench::new(ONE, &[("a", ok())]).await;
    bench.run(0..5);
    let results = bench.results(5).await;
    let expected: Vec<_> = (0..5).map(|offset| (offset, "succeeded")).collect();
    assert_eq!(verdicts(&results), expected);
    assert!(results.iter().all(|finished| finished.done == 1 && finished.report.is_some()));
    bench.stop().await;
}

#[tokio::test]
async fn a_run_stops_at_the_first_failure() {
    let script = Script::FailAt(2, fail(Class::Transient));
    let mut bench = Bench::new(ONE, &[("a", script)]).await;
    bench.run(0..5);
    let results = bench.results(5).await;
    let expected = [(0, "succeeded"), (1, "succeeded"), (2, "transient"), (3, "not started"), (4, "not started")];
    assert_eq!(verdicts(&results), expected);
    assert_eq!(bench.starts("a"), 3);
}

#[tokio::test]
async fn a_failure_after_the_effect_is_no_failure() {
    for class in [Class::Transient, Class::Deadline, Class::Panic, Class::Permanent] {
        let mut bench = Bench::new(ONE, &[("a", Script::FailLate(fail(class)))]).await;
        bench.run(0..2);
        let results = bench.results(2).await;
        assert_eq!(verdicts(&results), [(0, "succeeded"), (1, "succeeded")]);
        let report = results[1].report.as_ref().unwrap();
        assert_eq!(report.runs[0].result.as_ref().unwrap().message, "made", "the result of the run that made it");
        bench.stop().await;
    }
    let mut bench = Bench::new(ONE, &[("a", Script::FailLate(fail(Class::Poison)))]).await;
    bench.run(0..1);
    assert_eq!(verdicts(&bench.results(1).await), [(0, "poison")], "no run of it can have got on");
}

#[tokio::test]
async fn no_attempt_is_failed_while_nobody_can_say_what_an_earlier_one_has_done() {
    let mut bench = Bench::without_database(ONE, &[("a", Script::Fail(fail(Class::Permanent)))]).await;
    bench.run(0..1);
    assert_eq!(verdicts(&bench.results(1).await), [(0, "systemic")]);
}

#[tokio::test]
async fn a_handler_that_hangs_ends_at_its_deadline() {
    let mut bench = Bench::new(ONE, &[("a", Script::Hang)]).await;
    let start = Instant::now();
    bench.run(0..2);
    let results = bench.results(2).await;
    assert_eq!(verdicts(&results), [(0, "deadline"), (1, "not started")]);
    let took = start.elapsed();
    assert!((30..31).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_panic_fails_its_own_event_with_message_and_place() {
    for script in [Script::Panic("boom"), Script::PanicLater("boom")] {
        let mut bench = Bench::new(ONE, &[("a", script)]).await;
        bench.run_of(0, 1, 0..1);
        bench.run_of(1, 1, 10..11);
        let mut results = bench.results(2).await;
        results.sort_by_key(|finished| finished.ticket.offset);
        assert_eq!(verdicts(&results), [(0, "panic"), (10, "panic")]);
        let report = results[0].report.as_ref().unwrap();
        let (_, refusal) = report.refusal().unwrap();
        assert_eq!((refusal.failure.code, refusal.failure.message.as_str()), ("panicked", "boom"));
        assert!(refusal.location.as_deref().is_some_and(|place| place.contains("fixture.rs:")), "{refusal:?}");
        bench.stop().await;
    }
}

#[tokio::test]
async fn a_cancelled_epoch_stops_at_once_and_others_go_on() {
    let mut bench = Bench::new(ONE, &[("a", Script::Hang)]).await;
    let start = Instant::now();
    bench.run_of(0, 1, 0..2);
    bench.run_of(1, 7, 10..11);
    bench.started("a", 2).await;
    bench.submit.end(PartitionId(0), Epoch(1), Ending::Cancelled);
    // Still in the queue when its epoch is cancelled, and one of the next epoch.
    bench.run_of(0, 1, 20..21);
    bench.run_of(0, 2, 30..31);
    let mut results = bench.results(3).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    assert_eq!(verdicts(&results), [(0, "cancelled"), (1, "not started"), (20, "not started")]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    bench.started("a", 3).await;
    let mut results = bench.results(2).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    assert_eq!(verdicts(&results), [(10, "deadline"), (30, "deadline")]);
}

#[tokio::test]
async fn of_a_recalled_epoch_what_has_begun_goes_on_and_the_rest_comes_back() {
    let (gate, opened) = watch::channel(false);
    let mut bench = Bench::new(ONE, &[("a", Script::Gate(opened))]).await;
    bench.run_of(0, 1, 0..3);
    bench.run_of(1, 7, 10..11);
    bench.started("a", 2).await;
    bench.submit.end(PartitionId(0), Epoch(1), Ending::Recalled);
    bench.run_of(0, 1, 20..21);
    let mut results = bench.results(3).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    assert_eq!(verdicts(&results), [(1, "not started"), (2, "not started"), (20, "not started")]);
    gate.send(true).unwrap();
    let mut results = bench.results(2).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    assert_eq!(verdicts(&results), [(0, "succeeded"), (10, "succeeded")]);
}

#[tokio::test]
async fn what_is_not_begun_when_its_routes_are_replaced_is_given_back_and_what_is_ends_under_them() {
    let (gate, opened) = watch::channel(false);
    let mut bench = Bench::new(ONE, &[("a", Script::Gate(opened))]).await;
    bench.run(0..3);
    bench.started("a", 1).await;
    bench.routing.retire();
    gate.send(true).unwrap();
    bench.run(20..21);
    let mut results = bench.results(4).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    let expected = [(0, "succeeded"), (1, "not started"), (2, "not started"), (20, "not started")];
    assert_eq!(verdicts(&results), expected);
    let report = results[0].report.as_ref().unwrap();
    assert_eq!(report.route.version(), bench.routing.routes().version());
}

#[tokio::test]
async fn what_waits_for_its_rate_limit_is_recalled_at_once() {
    let text = "routes: [{name: r, match: {type: t}, handler: a, rate_limit: {per_second: 1, burst: 1}}]";
    let mut bench = Bench::new(text, &[("a", ok())]).await;
    bench.run(0..3);
    assert_eq!(verdicts(&bench.results(1).await), [(0, "succeeded")]);
    let start = Instant::now();
    bench.submit.end(PartitionId(0), Epoch(1), Ending::Recalled);
    assert_eq!(verdicts(&bench.results(2).await), [(1, "not started"), (2, "not started")]);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn one_worker_holds_many_lanes_at_once() {
    let (gate, opened) = watch::channel(false);
    let mut bench = Bench::new(ONE, &[("a", Script::Gate(opened))]).await;
    for lane in 0..500 {
        bench.run_of(0, 1, 10 * lane..10 * lane + 2);
    }
    bench.started("a", 500).await;
    gate.send(true).unwrap();
    let results = bench.results(1_000).await;
    for lane in 0..500 {
        let of_lane: Vec<_> = verdicts(&results).into_iter().filter(|(offset, _)| offset / 10 == lane).collect();
        assert_eq!(of_lane, [(10 * lane, "succeeded"), (10 * lane + 1, "succeeded")]);
    }
}

#[tokio::test]
async fn of_several_handlers_only_those_that_failed_run_again() {
    let mut bench = Bench::new(TWO, &[("a", ok()), ("b", Script::Fail(fail(Class::Transient)))]).await;
    bench.run(0..1);
    let first = bench.results(1).await.remove(0);
    assert_eq!((first.done, first.report.unwrap().runs.len()), (0b01, 2));
    let mut again = job(delivery(&bench.routing, record("topic", 0, &[])), 0, 1);
    (again.attempt, again.done) = (2, first.done);
    bench.submit(vec![again]);
    let second = bench.results(1).await.remove(0);
    assert_eq!((second.done, bench.starts("a"), bench.starts("b")), (0b01, 1, 2));
    assert_eq!(second.report.unwrap().runs.iter().map(|run| run.handler).collect::<Vec<_>>(), [Some(1)]);
}

#[tokio::test]
async fn what_the_caller_who_waits_can_mend_is_handled_by_telling_them() {
    let waited_for = &[("ce_replyto", "coafi.results")][..];
    for (headers, b, expected, done) in [
        (waited_for, Class::Invalid, "succeeded", 0b11),
        (&[], Class::Invalid, "invalid", 0b01),
        (waited_for, Class::Permanent, "permanent", 0b01),
        (waited_for, Class::Transient, "transient", 0b01),
    ] {
        let mut bench = Bench::new(TWO, &[("a", ok()), ("b", Script::Fail(fail(b)))]).await;
        bench.submit(vec![job(delivery(&bench.routing, record("topic", 0, headers)), 0, 1)]);
        let results = bench.results(1).await;
        assert_eq!((verdicts(&results), results[0].done), (vec![(0, expected)], done));
    }
}

#[tokio::test]
async fn one_handlers_failure_does_not_take_the_others_retries_away() {
    let systemic = || Class::Systemic(Dependency::new(Dependency::DATABASE));
    for (a, b, expected) in [
        (Class::Permanent, Class::Transient, "transient"),
        (Class::Transient, Class::Poison, "transient"),
        (Class::Transient, systemic(), "systemic"),
        (Class::Invalid, Class::Permanent, "invalid"),
    ] {
        let scripts = [("a", Script::Fail(fail(a))), ("b", Script::Fail(fail(b)))];
        let mut bench = Bench::new(TWO, &scripts).await;
        bench.run(0..1);
        assert_eq!(verdicts(&bench.results(1).await), [(0, expected)]);
    }
}

#[tokio::test]
async fn a_panic_of_one_handler_leaves_the_other_alone() {
    let mut bench = Bench::new(TWO, &[("a", Script::PanicLater("boom")), ("b", ok())]).await;
    bench.run(0..1);
    let result = bench.results(1).await.remove(0);
    assert_eq!((result.done, &result.verdict), (0b10, &Attempt::Failed { class: Class::Panic, code: code(&result) }));
}

fn code(finished: &Finished<Report>) -> u64 {
    match finished.verdict {
        Attempt::Failed { code, .. } => code,
        _ => 0,
    }
}

#[tokio::test]
async fn the_same_error_has_the_same_code_whatever_its_message() {
    let failure = |class, code, message: &str| Script::Fail(Failure::new(class, code, message));
    let mut codes = Vec::new();
    for script in [
        failure(Class::Transient, "timeout", "after 3 s"),
        failure(Class::Transient, "timeout", "after 4 s"),
        failure(Class::Transient, "refused", "after 3 s"),
        failure(Class::Permanent, "timeout", "after 3 s"),
    ] {
        let mut bench = Bench::new(ONE, &[("a", script)]).await;
        bench.run(0..1);
        codes.push(code(&bench.results(1).await[0]));
    }
    assert_eq!(codes[0], codes[1]);
    assert!(codes[0] != codes[2] && codes[0] != codes[3] && codes[2] != codes[3]);
}

#[tokio::test]
async fn what_the_filter_does_not_want_is_filtered_and_the_run_goes_on() {
    let text = "routes: [{name: r, match: {type: t}, handler: a, filter: \"event.id != 'id-1' && data.n == 1\"}]";
    let mut bench = Bench::new(text, &[("a", ok())]).await;
    bench.run(0..3);
    assert_eq!(verdicts(&bench.results(3).await), [(0, "succeeded"), (1, "filtered"), (2, "succeeded")]);
    assert_eq!(bench.starts("a"), 2);
    drop(bench);
    let text = "routes: [{name: r, match: {type: t}, handler: a, filter: \"data.missing == 1\"}]";
    let mut bench = Bench::new(text, &[("a", ok())]).await;
    bench.run(0..1);
    assert_eq!(verdicts(&bench.results(1).await), [(0, "permanent")]);
    assert_eq!(bench.starts("a"), 0);
}

#[tokio::test]
async fn a_time_that_is_none_is_poison() {
    let mut bench = Bench::new(ONE, &[("a", ok())]).await;
    let spoilt = record("topic", 0, &[("ce_time", "yesterday")]);
    bench.submit(vec![job(delivery(&bench.routing, spoilt), 0, 1)]);
    let results = bench.results(1).await;
    assert_eq!((verdicts(&results), bench.starts("a")), (vec![(0, "poison")], 0));
    let (run, refusal) = results[0].report.as_ref().unwrap().refusal().unwrap();
    assert!(run.handler.is_none() && refusal.failure.message.contains("yesterday"));
}

#[tokio::test]
async fn a_derived_event_that_no_broker_takes_is_refused() {
    let new = NewEvent {
        topic: "derived".into(),
        id: "1".into(),
        source: "/s".into(),
        event_type: "t".into(),
        subject: None,
        workflow_hops: None,
        tenant: None,
        key: "k".into(),
        data: vec![0; 2_000_000].into(),
    };
    let success = Success { emit: vec![new], ..Success::default() };
    let mut bench = Bench::new(ONE, &[("a", Script::Succeed(success))]).await;
    bench.run(0..1);
    assert_eq!(verdicts(&bench.results(1).await), [(0, "permanent")]);
}

#[tokio::test]
async fn stopping_reports_everything() {
    let mut bench = Bench::new(ONE, &[("a", Script::Hang)]).await;
    bench.run(0..3);
    bench.started("a", 1).await;
    bench.run_of(1, 1, 10..12);
    bench.stop().await;
    let mut results = bench.results(5).await;
    results.sort_by_key(|finished| finished.ticket.offset);
    let ends: Vec<_> = verdicts(&results).into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(ends[..3], ["cancelled", "not started", "not started"]);
    assert!(ends[3..].iter().all(|verdict| ["cancelled", "not started"].contains(verdict)), "{ends:?}");
}

#[tokio::test]
async fn a_route_keeps_to_its_rate() {
    let text = "routes: [{name: r, match: {type: t}, handler: a, rate_limit: {per_second: 10, burst: 5}}]";
    let mut bench = Bench::new(text, &[("a", ok())]).await;
    let start = Instant::now();
    bench.run(0..15);
    bench.run_of(1, 1, 20..30);
    bench.results(25).await;
    let took = start.elapsed();
    assert!((1_900..2_200).contains(&took.as_millis()), "{took:?}");
}
