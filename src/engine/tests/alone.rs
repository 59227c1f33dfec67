//! Records that wait alone: for what the others of their route may do without.

use super::*;

const SHOP: &str = "http:shop";

fn running(bench: &Bench) -> Vec<i64> {
    let mut offsets = bench.running();
    offsets.sort_unstable();
    offsets
}

fn probed(bench: &mut Bench, up: bool) {
    bench.engine.probed(bench.now, &Dependency::new(SHOP), up);
    bench.settle();
}

/// Records 0, 1 and 2 of three lanes have found it down.
fn down() -> Bench {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    (0..3).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    assert_eq!(open(&bench), [SHOP]);
    bench
}

#[test]
fn the_others_of_the_route_go_on_and_those_behind_it_wait() {
    let mut bench = down();
    bench.poll(&[(3, 4), (4, 3)]);
    assert_eq!(running(&bench), [3], "4 is behind 2");
    bench.finish(3, Attempt::Succeeded);
    assert_eq!((open(&bench), running(&bench)), (vec![SHOP.to_owned()], vec![]), "no proof that it is back");
    // The first two had a time to ask again, before it was known to be down.
    bench.pass(milliseconds(10));
    assert_eq!(running(&bench), [0, 1]);
    (0..2).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    bench.pass(Duration::from_secs(29));
    assert!(running(&bench).is_empty(), "all of them wait until it answers");
    bench.pass(Duration::from_secs(1));
    assert_eq!(running(&bench), [0, 1, 2, 4], "now and then they look whether they still want it");
    (0..3).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    bench.finish(4, Attempt::NotStarted);
    assert!(running(&bench).is_empty());
    probed(&mut bench, false);
    assert!(running(&bench).is_empty());
    probed(&mut bench, true);
    assert_eq!(running(&bench), [0, 1, 2, 4]);
    assert!(bench.running.iter().all(|job| job.attempt == 1), "no attempt is used");
}

#[test]
fn one_that_is_down_again_after_a_probe_is_one_outage_and_a_success_ends_it() {
    let mut bench = down();
    bench.pass(milliseconds(10));
    (0..2).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    bench.pass(Duration::from_secs(59));
    probed(&mut bench, true);
    (0..3).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    assert_eq!(open(&bench), [SHOP]);
    bench.pass(Duration::from_secs(1));
    let lasted = |effect: &Effect<i64, ()>| matches!(effect, Effect::Escalate(Incident::Outage { .. }));
    assert_eq!(bench.count(lasted), 1, "since the first of its openings");
    (0..2).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    probed(&mut bench, true);
    (0..3).for_each(|offset| bench.finish(offset, Attempt::Succeeded));
    bench.poll(&[(3, 4)]);
    bench.finish(3, systemic(SHOP));
    assert_eq!(open(&bench), [] as [String; 0], "counted from the beginning");
}

#[test]
fn failures_before_it_is_decided_count_as_long_as_somebody_asks() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    (0..2).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    bench.pass(milliseconds(10));
    bench.finish(0, Attempt::Succeeded);
    bench.finish(1, systemic(SHOP));
    assert_eq!(open(&bench), [] as [String; 0], "the success has made the two before it none");
    bench.pass(milliseconds(10));
    bench.finish(1, transient(3));
    bench.poll(&[(2, 3)]);
    bench.finish(2, systemic(SHOP));
    bench.pass(milliseconds(100));
    assert_eq!(open(&bench), [] as [String; 0], "nobody asked any more, so that the first failure is this one");
    assert_eq!(running(&bench), [2], "it asks again");
    assert_eq!(bench.engine.unneeded().count(), 0, "it was never known to be down");
}

#[test]
fn each_is_asked_for_as_long_as_a_record_waits_for_it() {
    const OTHER: &str = "http:other";
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    for _ in 0..3 {
        bench.finish(0, systemic(SHOP));
        bench.finish(1, systemic(OTHER));
        bench.pass(milliseconds(10));
    }
    assert_eq!(open(&bench), [OTHER, SHOP]);
    bench.pass(Duration::from_secs(30));
    assert_eq!(running(&bench), [0, 1]);
    bench.finish(0, Attempt::Filtered);
    assert_eq!(open(&bench), [OTHER]);
    assert_eq!(bench.engine.unneeded().map(ToString::to_string).collect::<Vec<_>>(), [SHOP]);
}

#[test]
fn a_route_that_declares_it_waits_as_a_whole() {
    let declares = RoutePolicy { dependencies: vec![Dependency::new(SHOP)], ..route() };
    let mut bench = Bench::with_routes(settings(), vec![declares, route()]);
    let of_other =
        |offset, lane| Arrival { verdict: Verdict::Routed { route: RouteId(1), lane }, ..arrival(offset, 0) };
    bench.poll_arrivals(vec![arrival(0, 1), arrival(1, 2), of_other(2, 3)]);
    (0..3).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    assert_eq!(open(&bench), [SHOP]);
    bench.poll_arrivals(vec![arrival(3, 4), of_other(4, 5)]);
    assert_eq!(running(&bench), [4], "the other route goes on without its record 2");
    bench.finish(4, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().dirty, 0, "a route stands still");
    bench.pass(Duration::from_secs(30));
    assert_eq!(running(&bench), [2], "the other route's looks again");
    bench.finish(2, Attempt::Succeeded);
    assert_eq!(open(&bench), [SHOP], "the route that declares it waits on");
    probed(&mut bench, true);
    assert_eq!(running(&bench), [0, 1, 3]);
}

#[test]
fn marks_stay_dirty_since_whatever_dies_beside_it_was_not_waiting() {
    let mut bench = down();
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().dirty, 1);
}

#[test]
fn people_are_told_what_it_waits_for() {
    let bench = down();
    let reasons = bench.engine.inspect().remove(0).reasons;
    let outage = Hold::Outage { dependency: Dependency::new(SHOP), since: Time(1) };
    let waiting = reasons.iter().find(|reason| reason.hold == outage);
    assert_eq!(waiting.map(|reason| reason.records), Some(3), "{reasons:?}");
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, systemic(SHOP));
    assert_eq!(bench.engine.inspect()[0].reasons[0].hold, Hold::Undecided);
    (0..2).for_each(|_| {
        bench.pass(milliseconds(10));
        bench.finish(0, systemic(SHOP));
    });
    bench.pass(Duration::from_secs(30));
    assert_eq!(running(&bench), [0], "it looks again");
    assert!(matches!(bench.engine.inspect()[0].reasons[0].hold, Hold::Outage { .. }));
}

#[test]
fn other_routes_have_their_records_ask() {
    let mut bench = down();
    bench.pass(milliseconds(10));
    (0..2).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    bench.poll(&[(3, 4)]);
    let as_before = |payload: &i64| Rerouted {
        verdict: Verdict::Routed { route: RouteId(0), lane: u64::try_from(*payload).unwrap() + 1 },
        payload: *payload,
    };
    bench.engine.reroute(bench.now, vec![route()], as_before);
    bench.settle();
    assert_eq!((open(&bench), running(&bench)), (vec![], vec![0, 1, 2, 3]));
    // This one began before. It is tried again at once: what it found down, its route may not need any more.
    bench.finish(3, systemic(SHOP));
    assert_eq!(running(&bench), [0, 1, 2, 3]);
    (0..3).for_each(|offset| bench.finish(offset, Attempt::Succeeded));
    bench.finish(3, Attempt::Succeeded);
    assert_eq!(bench.ends.len(), 4);
}

#[test]
fn nobody_asks_whether_it_is_back_when_no_record_waits() {
    let mut bench = down();
    bench.engine.lost(bench.now, &[P0]);
    bench.settle();
    assert_eq!(
        (open(&bench), bench.engine.next_wake().is_none_or(|at| at <= bench.now + milliseconds(10))),
        (vec![], true)
    );
    bench.pass(Duration::from_secs(100));
    assert_eq!(bench.count(|effect| matches!(effect, Effect::Probe(_))), 0);
    let unneeded = |bench: &Bench| bench.engine.unneeded().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(unneeded(&bench), [SHOP], "whether it answers is not known");
    bench.assign(&assignment(P0, 0, ""));
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    (0..3).for_each(|offset| bench.finish(offset, systemic(SHOP)));
    assert_eq!((open(&bench), unneeded(&bench)), (vec![SHOP.to_owned()], vec![]));
    bench.engine.probed(bench.now, &Dependency::new(SHOP), true);
    bench.settle();
    assert_eq!(unneeded(&bench), [] as [String; 0], "it answers");
}

#[test]
fn a_handler_that_makes_names_up_has_its_records_wait_without_a_circuit() {
    let mut bench = Bench::new();
    for number in 0..64 {
        bench.poll(&[(number, u64::try_from(number).unwrap())]);
        bench.finish(number, systemic(&format!("http:number-{number}")));
    }
    bench.poll(&[(64, 64)]);
    bench.finish(64, systemic("http:one-too-many"));
    bench.pass(milliseconds(10));
    assert_eq!(running(&bench).len(), 64);
    (0..64).for_each(|offset| bench.finish(offset, Attempt::Succeeded));
    bench.pass(milliseconds(990));
    assert_eq!(running(&bench), [64], "as late as a probe may be");
    bench.finish(64, systemic("http:one-too-many"));
    bench.pass(milliseconds(10));
    assert_eq!(running(&bench), [64], "it has a circuit now");
}
