//! Retries: how many, where, and what becomes of what cannot stay in its place.

use super::*;

/// Everything that becomes of a record whose attempts all end like this, until it leaves its place.
fn fate(policy: RoutePolicy, verdict: &Attempt) -> Vec<(u32, Disposition)> {
    let mut bench = Bench::with_routes(settings(), vec![policy]);
    bench.poll(&[(0, 1)]);
    for _ in 0..20 {
        if bench.running().is_empty() {
            break;
        }
        bench.finish(0, verdict.clone());
        // A transient failure is held back, then the record waits for its due time.
        bench.pass(milliseconds(50));
        bench.pass(Duration::from_secs(1));
    }
    bench.ends.into_iter().map(|(_, attempt, disposition)| (attempt, disposition)).collect()
}

fn names(fate: &[(u32, Disposition)]) -> Vec<String> {
    let name = |(attempt, disposition): &(u32, Disposition)| match disposition {
        Disposition::RetryInPlace { class, .. } => format!("{attempt} in place {class}"),
        Disposition::RetryTopic { class, tier, .. } => format!("{attempt} tier {tier} {class}"),
        Disposition::DeadLetter { class } => format!("{attempt} dead letter {class}"),
        Disposition::Halted { class } => format!("{attempt} halted {class}"),
        other => format!("{attempt} {other:?}"),
    };
    fate.iter().map(name).collect()
}

fn failed(class: Class) -> Attempt {
    Attempt::Failed { class, code: 1 }
}

fn policy(in_place_attempts: u32, fault_attempts: u32, tiers: &[u64]) -> RoutePolicy {
    let tiers = tiers.iter().map(|delay_s| Duration::from_secs(*delay_s)).collect();
    let retry = Policy { in_place_attempts, fault_attempts, tiers, ..route().retry };
    RoutePolicy { retry, ..route() }
}

#[test]
fn classes_and_policies_decide_what_follows() {
    for (policy, class, expected) in [
        (
            policy(3, 2, &[]),
            Class::Transient,
            &["1 in place transient", "2 in place transient", "3 dead letter transient"][..],
        ),
        (policy(1, 1, &[5, 60]), Class::Transient, &["1 tier 0 transient"]),
        (policy(2, 2, &[5]), Class::Transient, &["1 in place transient", "2 tier 0 transient"]),
        (policy(3, 2, &[]), Class::Panic, &["1 in place panic", "2 dead letter panic"]),
        (policy(3, 1, &[]), Class::Deadline, &["1 dead letter deadline"]),
        (policy(1, 2, &[5]), Class::Deadline, &["1 tier 0 deadline"]),
        (policy(1, 9, &[]), Class::Panic, &["1 dead letter panic"]),
        (policy(3, 3, &[5]), Class::Poison, &["1 dead letter poison"]),
        (policy(3, 3, &[5]), Class::Invalid, &["1 dead letter invalid"]),
        (policy(3, 3, &[5]), Class::Permanent, &["1 dead letter permanent"]),
    ] {
        assert_eq!(names(&fate(policy, &failed(class))), expected);
    }
    let halts = RoutePolicy { exhausted: Exhausted::Halt, ..policy(2, 2, &[]) };
    assert_eq!(names(&fate(halts, &failed(Class::Transient))), ["1 in place transient", "2 halted transient"]);
}

#[test]
fn later_attempts_go_to_later_tiers() {
    for (attempts, expected) in [(1, "2 tier 0"), (2, "3 tier 1"), (3, "4 dead letter")] {
        let mut bench = Bench::with_routes(settings(), vec![policy(2, 2, &[5, 60])]);
        bench.poll_arrivals(vec![Arrival { attempts, ..arrival(0, 1) }]);
        bench.finish(0, transient(1));
        bench.pass(milliseconds(50));
        bench.pass(milliseconds(100));
        let ends: Vec<_> = bench.ends.iter().map(|(_, attempt, end)| (*attempt, end.clone())).collect();
        assert!(names(&ends)[0].starts_with(expected), "{ends:?}");
        if let (_, Disposition::RetryTopic { due, tier, .. }) = &ends[0] {
            let delay = [5, 60][*tier];
            assert_eq!(*due, Time(1) + milliseconds(50) + Duration::from_secs(delay));
        }
    }
}

/// What becomes of a record whose handler asks for this wait after attempt `attempts + 1`, and how long it waits.
fn asked(policy: RoutePolicy, attempts: u32, wait: Duration) -> (String, Duration) {
    let mut bench = Bench::with_routes(settings(), vec![policy]);
    bench.poll_arrivals(vec![Arrival { attempts, ..arrival(0, 1) }]);
    let failed = bench.now;
    bench.finish_asking(0, transient(1), wait);
    bench.pass(milliseconds(100));
    let (_, attempt, end) = bench.ends.remove(0);
    let (Disposition::RetryInPlace { due, .. } | Disposition::RetryTopic { due, .. }) = end else {
        return (names(&[(attempt, end)]).remove(0), Duration::ZERO);
    };
    (names(&[(attempt, end)]).remove(0), due - failed)
}

#[test]
fn who_asks_for_a_wait_is_not_tried_sooner() {
    let seconds = Duration::from_secs;
    for (policy, attempts, wait_s, expected, after_s) in [
        (policy(3, 2, &[]), 0, 7, "1 in place transient", 7),
        (policy(3, 2, &[]), 1, 7, "2 in place transient", 7),
        (policy(3, 2, &[]), 0, 1_000_000, "1 in place transient", retry::ASKED_WAIT_MAX.as_secs()),
        (policy(3, 2, &[]), 2, 7, "3 dead letter transient", 0),
        (policy(1, 1, &[5, 60, 600]), 0, 3, "1 tier 0 transient", 5),
        (policy(1, 1, &[5, 60, 600]), 0, 6, "1 tier 1 transient", 60),
        (policy(1, 1, &[5, 60, 600]), 0, 3_000, "1 tier 2 transient", 600),
        (policy(1, 1, &[5, 60, 600]), 1, 1, "2 tier 1 transient", 60),
        (policy(1, 1, &[5, 60, 600]), 3, 1, "4 dead letter transient", 0),
    ] {
        assert_eq!(asked(policy, attempts, seconds(wait_s)), (expected.to_owned(), seconds(after_s)), "{wait_s} s");
    }
    // A back-off that is longer stays.
    let slow = Backoff { initial: seconds(9_000), cap: seconds(9_000) };
    let policy = policy(3, 2, &[]);
    let slow = RoutePolicy { retry: Policy { backoff: slow, ..policy.retry }, ..policy };
    assert!(asked(slow, 0, milliseconds(1)).1 > seconds(1));
}

#[test]
fn what_waits_as_asked_runs_then_and_uses_its_attempts() {
    let mut bench = Bench::with_routes(settings(), vec![policy(2, 2, &[])]);
    bench.poll(&[(0, 1), (1, 1), (2, 2)]);
    bench.finish_asking(0, transient(1), Duration::from_secs(7));
    bench.finish(1, Attempt::NotStarted);
    bench.finish(2, Attempt::Succeeded);
    bench.pass(milliseconds(6_999));
    assert_eq!(bench.running(), [0; 0], "its lane waits with it");
    bench.pass(milliseconds(1));
    assert_eq!(bench.running(), [0, 1]);
    assert_eq!(bench.running[0].attempt, 2);
}

#[test]
fn those_who_say_when_to_come_again_are_no_outage() {
    let mut bench = Bench::with_routes(settings(), vec![policy(3, 2, &[])]);
    let lanes = i64::from(settings().circuit.same_error_lanes) + 2;
    bench.poll(&(0..lanes).map(|offset| (offset, offset.unsigned_abs())).collect::<Vec<_>>());
    (0..lanes).for_each(|offset| bench.finish_asking(offset, transient(1), Duration::from_secs(7)));
    bench.pass(milliseconds(100));
    assert_eq!(bench.engine.open_circuits().count(), 0);
    assert_eq!(bench.ends.len() as i64, lanes, "each used its attempt");
}

#[test]
fn a_full_window_sends_what_asks_for_a_wait_to_a_topic_that_keeps_it() {
    let one_place = Settings { max_parked: 1, ..settings() };
    let mut bench = Bench::with_routes(one_place, vec![policy(3, 3, &[5, 60])]);
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish_asking(0, transient(1), Duration::from_secs(20));
    bench.finish_asking(1, transient(2), Duration::from_secs(20));
    bench.pass(milliseconds(100));
    let ends: Vec<_> = bench.ends.iter().map(|(_, attempt, end)| (*attempt, end.clone())).collect();
    assert_eq!(names(&ends), ["1 in place transient", "1 tier 1 transient"]);
}

#[test]
fn records_that_used_up_their_attempts_elsewhere_do_not_run() {
    let at_arrival = |exhausted, attempts| {
        let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { exhausted, ..policy(2, 2, &[5]) }]);
        bench.poll_arrivals(vec![Arrival { attempts, ..arrival(0, 1) }, arrival(1, 1)]);
        let halts = bench.count(|effect| matches!(effect, Effect::Escalate(Incident::Halted { .. })));
        (bench.running(), bench.ends.len() + bench.staged.len(), halts)
    };
    assert_eq!(at_arrival(Exhausted::DeadLetter, 2), (vec![0, 1], 0, 0));
    assert_eq!(at_arrival(Exhausted::DeadLetter, 3), (vec![1], 1, 0));
    assert_eq!(at_arrival(Exhausted::Halt, 3), (vec![], 0, 1), "and its lane stands still");
}

/// Parks one record with one place for it, then has a second one fail.
fn second_that_fails(policy: RoutePolicy) -> (Vec<String>, Vec<i64>) {
    let mut bench = Bench::with_routes(Settings { max_parked: 1, ..settings() }, vec![policy]);
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 2)]);
    for offset in [0, 1] {
        bench.finish(offset, failed(Class::Panic));
        bench.running.retain(|job| job.ticket.offset.0 != 3 || offset == 1);
    }
    bench.pass(milliseconds(100));
    let ends: Vec<_> = bench.ends.iter().map(|(_, attempt, end)| (*attempt, end.clone())).collect();
    (names(&ends), bench.running())
}

#[test]
fn what_finds_no_place_to_park_goes_by_the_overflow_policy() {
    let with = |overflow, ordering, tiers: &[u64]| {
        second_that_fails(RoutePolicy { overflow, ordering, ..policy(3, 3, tiers) }).0.pop().unwrap()
    };
    assert_eq!(with(Overflow::RetryTopic, Ordering::Key, &[5]), "1 tier 0 panic");
    assert_eq!(with(Overflow::RetryTopic, Ordering::Key, &[]), "1 dead letter panic");
    assert_eq!(with(Overflow::RetryTopic, Ordering::Strict, &[5]), "1 dead letter panic");
    assert_eq!(with(Overflow::DeadLetter, Ordering::Key, &[5]), "1 dead letter panic");
    assert_eq!(with(Overflow::Halt, Ordering::Strict, &[]), "1 halted panic");
}

#[test]
fn a_record_that_is_parked_already_keeps_its_place() {
    let mut bench = Bench::with_routes(Settings { max_parked: 1, ..settings() }, vec![policy(3, 3, &[])]);
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, failed(Class::Panic));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running(), [1, 0]);
    bench.finish(0, failed(Class::Panic));
    bench.pass(milliseconds(100));
    let ends: Vec<_> = bench.ends.iter().map(|(_, attempt, end)| (*attempt, end.clone())).collect();
    assert_eq!(names(&ends), ["1 in place panic", "2 in place panic"]);
}

#[test]
fn places_are_free_again_when_parked_records_end() {
    let mut bench = Bench::with_routes(Settings { max_parked: 1, ..settings() }, vec![policy(3, 3, &[])]);
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    bench.finish(0, failed(Class::Panic));
    bench.pass(Duration::from_secs(1));
    bench.finish(0, Attempt::Succeeded);
    bench.finish(1, failed(Class::Panic));
    bench.pass(milliseconds(100));
    let ends: Vec<_> = bench.ends.iter().map(|(_, attempt, end)| (*attempt, end.clone())).collect();
    assert_eq!(names(&ends)[2], "1 in place panic", "{ends:?}");
}

#[test]
fn places_of_an_earlier_owner_count() {
    let mut bench = Bench::with_routes(settings(), vec![policy(3, 3, &[])]);
    bench.poll(&[(0, 1), (5, 2)]);
    bench.finish(5, failed(Class::Panic));
    bench.pass(milliseconds(100));
    let (position, metadata) = bench.committed.clone().unwrap();
    for (max_parked, polled, parks) in [(1, 1, false), (1, 2, false), (2, 1, true), (2, 2, true)] {
        let mut next = Bench::with(Settings { max_parked, ..settings() }, position.0, &metadata);
        next.poll(&[(0, 1), (5, 2)][..polled]);
        next.finish(0, failed(Class::Panic));
        next.pass(milliseconds(100));
        let parked = matches!(next.ends[0], (0, 1, Disposition::RetryInPlace { .. }));
        assert_eq!(parked, parks, "{max_parked} places, {polled} polled: {:?}", next.ends);
    }
}

#[test]
fn a_record_of_a_retry_topic_waits_for_its_due_time_and_its_lane_with_it() {
    let mut bench = Bench::new();
    let due = |not_before, offset| Arrival { not_before: Some(not_before), ..arrival(offset, 1) };
    let now = bench.now;
    bench.poll_arrivals(vec![due(now, 0)]);
    assert_eq!(bench.running(), [0], "due now");
    bench.poll_arrivals(vec![due(now + milliseconds(10), 1), arrival(2, 1), arrival(3, 2)]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.running(), [3]);
    assert_eq!(bench.engine.next_wake(), Some(now + milliseconds(10)));
    bench.pass(milliseconds(9));
    assert_eq!(bench.running(), [3]);
    bench.pass(milliseconds(1));
    assert_eq!(bench.running(), [3, 1, 2]);
}

#[test]
fn handlers_that_are_done_stay_done() {
    let mut bench = Bench::new();
    bench.poll_arrivals(vec![Arrival { done: 0b1, ..arrival(0, 1) }, arrival(1, 2)]);
    assert_eq!(bench.running.iter().map(|job| job.done).collect::<Vec<_>>(), [0b1, 0]);
    let ticket = bench.running.pop_front().unwrap().ticket;
    let failed = Finished {
        ticket,
        verdict: failed(Class::Panic),
        done: 0b100,
        took: Duration::ZERO,
        wait: Duration::ZERO,
        report: None,
    };
    bench.engine.finished(bench.now, failed);
    bench.settle();
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().attempts[0].done, 0b101);
    let mut next = bench.restarted();
    next.poll(&[(0, 1), (1, 2)]);
    assert_eq!(next.running.iter().map(|job| (job.attempt, job.done)).collect::<Vec<_>>(), [(2, 0b101), (1, 0)]);
    // A restart with other handlers: none of them is done. Their number of attempts stays.
    let (position, metadata) = bench.committed.clone().unwrap();
    let others = vec![RoutePolicy { handlers: HandlerList(2), ..route() }];
    let mut other = Bench::unassigned(settings(), others);
    other.assign(&assignment(P0, position.0, &metadata));
    assert_eq!(other.map().attempts, bench.map().attempts, "whose bits they are is kept until the record is polled");
    other.poll(&[(0, 1), (1, 2)]);
    assert_eq!(other.running.iter().map(|job| (job.attempt, job.done)).collect::<Vec<_>>(), [(2, 0), (1, 0)]);
}

#[test]
fn handlers_that_release_0_1_0_says_are_done_stay_done() {
    let map = offset_map::OffsetMap {
        attempts: vec![offset_map::Attempted { offset: Offset(0), attempts: 1, done: 0b1, list: 0 }],
        ..Default::default()
    };
    let metadata = map.encode(IDENTITY, NextOffset(0), offset_map::MAX_METADATA_BYTES);
    let mut bench = Bench::unassigned(settings(), vec![policy(3, 3, &[])]);
    bench.assign(&assignment(P0, 0, &metadata));
    bench.poll(&[(0, 1)]);
    assert_eq!(bench.running[0].done, 0b1);
    bench.finish(0, failed(Class::Panic));
    bench.pass(milliseconds(100));
    let [known] = bench.map().attempts[..] else { panic!("one is parked") };
    assert_eq!(
        known,
        offset_map::Attempted::new(Offset(0), 2, 0b1, route().handlers),
        "from now on they are said of a list"
    );
}

/// What is decided anew after a loss may come out otherwise: an effect of the next one would be too early then.
#[test]
fn the_record_behind_one_that_is_given_up_waits_until_that_is_committed() {
    let strict = RoutePolicy { ordering: Ordering::Strict, overflow: Overflow::DeadLetter, ..policy(3, 2, &[]) };
    let mut bench = Bench::with_routes(settings(), vec![strict]);
    bench.poll(&[(0, 1)]);
    bench.holds_commits = true;
    bench.finish(0, failed(Class::Permanent));
    // It comes when the lane is empty and its place another's.
    bench.poll(&[(1, 2), (2, 1), (3, 1)]);
    assert_eq!(bench.running(), [1]);
    let waits = |bench: &Bench| bench.engine.inspect()[0].reasons.iter().any(|r| r.hold == Hold::Commit);
    assert!(waits(&bench));
    bench.end_commit(false);
    assert_eq!(bench.running(), [1], "it is not committed");
    bench.pass(Duration::from_secs(1));
    bench.end_commit(true);
    assert_eq!(bench.running(), [1, 2, 3]);
}

/// That the position has to stay where it is holds nobody up.
#[test]
fn the_record_behind_one_that_is_given_up_goes_on_when_that_is_committed_above_the_position() {
    let mut bench = Bench::with_routes(settings(), vec![policy(3, 2, &[])]);
    bench.poll(&[(0, 2), (1, 1)]);
    bench.holds_commits = true;
    bench.finish(1, failed(Class::Permanent));
    bench.poll(&[(2, 1)]);
    assert_eq!(bench.running(), [0]);
    bench.pass(Duration::from_secs(1));
    bench.end_commit(true);
    assert_eq!(bench.running(), [0, 2]);
}

#[test]
fn the_record_behind_one_that_succeeds_or_hops_waits_for_no_commit() {
    for (policy, verdict) in [
        (policy(3, 2, &[]), Attempt::Succeeded),
        (policy(3, 2, &[]), Attempt::Filtered),
        (policy(1, 2, &[5]), failed(Class::Panic)),
    ] {
        let mut bench = Bench::with_routes(settings(), vec![policy]);
        bench.poll(&[(0, 1)]);
        bench.holds_commits = true;
        bench.finish(0, verdict);
        bench.poll(&[(1, 1)]);
        assert_eq!(bench.running(), [1]);
    }
}
