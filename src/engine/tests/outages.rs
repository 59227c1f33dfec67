//! Dependencies that are down, and failures that are held back until it is known what they were.

use super::*;

fn attempts_running(bench: &Bench) -> Vec<(i64, u32)> {
    bench.running.iter().map(|job| (job.ticket.offset.0, job.attempt)).collect()
}

#[test]
fn until_it_is_decided_the_same_record_asks_again() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, systemic("database"));
    assert_eq!((open(&bench), bench.running()), (vec![], vec![1]));
    assert_eq!(bench.engine.next_wake(), Some(bench.now + milliseconds(10)));
    bench.pass(milliseconds(10));
    assert_eq!(attempts_running(&bench), [(1, 1), (0, 1)], "no attempt is used");
    bench.finish(0, systemic("database"));
    bench.pass(milliseconds(10));
    bench.finish(0, systemic("database"));
    assert_eq!(open(&bench), ["database"]);
}

#[test]
fn a_dependency_that_fails_for_long_enough_is_down() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, systemic("database"));
    bench.pass(milliseconds(50));
    bench.finish(0, systemic("database"));
    assert_eq!(open(&bench), ["database"], "twice, but 50 ms apart");
}

#[test]
fn a_success_forgets_earlier_failures_of_its_dependencies() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    for offset in 0..2 {
        bench.finish(offset, systemic("database"));
    }
    bench.finish(2, Attempt::Succeeded);
    bench.finish(3, systemic("database"));
    assert_eq!(open(&bench), [] as [String; 0]);
}

#[test]
fn a_dependency_that_a_handler_names_is_its_route_s_from_then_on() {
    let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { dependencies: Vec::new(), ..route() }, route()]);
    let of_other =
        |offset, lane| Arrival { verdict: Verdict::Routed { route: RouteId(1), lane }, ..arrival(offset, 0) };
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    for offset in 0..3 {
        bench.finish(offset, systemic("warehouse"));
    }
    assert_eq!(open(&bench), ["warehouse"]);
    bench.poll_arrivals(vec![arrival(3, 4), of_other(4, 5)]);
    assert_eq!(bench.running(), [4], "the other route does not need it");
}

#[test]
fn a_handler_that_makes_names_up_has_its_records_wait_without_a_circuit() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    for number in 0..15 {
        bench.finish(0, systemic(&format!("number {number}")));
        bench.pass(milliseconds(10));
        assert_eq!(bench.running(), [0], "name {number}, besides the database");
    }
    bench.finish(0, systemic("one too many"));
    bench.pass(milliseconds(999));
    assert!(bench.running().is_empty());
    bench.pass(milliseconds(1));
    assert_eq!(attempts_running(&bench), [(0, 1)]);
}

#[test]
fn a_transient_failure_alone_is_decided_after_a_time() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2)]);
    bench.finish(0, transient(5));
    bench.pass(milliseconds(49));
    bench.pass(milliseconds(0));
    assert!(bench.staged.is_empty());
    assert_eq!(bench.engine.census().parked, 1);
    bench.pass(milliseconds(1));
    assert_eq!(bench.staged.len() + bench.ends.len(), 1);
}

#[test]
fn another_error_decides_about_the_ones_before() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    for offset in 0..3 {
        bench.finish(offset, transient(5));
    }
    assert!(bench.staged.is_empty());
    bench.finish(3, transient(6));
    assert_eq!(bench.staged.len(), 3, "the three were their own");
    assert_eq!(open(&bench), [] as [String; 0]);
}

#[test]
fn a_revoked_partition_s_doubtful_failures_use_no_attempt() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll(&[(0, 1)]);
    bench.poll_of(P1, vec![arrival(7, 1), arrival(8, 2)]);
    bench.finish(0, transient(5));
    bench.finish(7, transient(5));
    bench.revoke(&[P0]);
    assert!(bench.ends.is_empty() && bench.map().attempts.is_empty());
    assert_eq!(bench.engine.census().released, 1);
    bench.pass(milliseconds(50));
    assert_eq!(bench.staged.iter().map(|output| output.payload).collect::<Vec<_>>(), [7]);
}

#[test]
fn a_probe_is_asked_for_once_at_a_time_and_backs_off() {
    let database = Dependency::new("database");
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    for offset in 0..3 {
        bench.finish(offset, systemic("database"));
    }
    let probes = |bench: &Bench| bench.count(|effect| matches!(effect, Effect::Probe(_)));
    for round in 1..=6 {
        let wake = bench.engine.next_wake().expect("it asks");
        bench.pass(wake - bench.now);
        assert_eq!(probes(&bench), round);
        bench.pass(milliseconds(2_000));
        assert_eq!(probes(&bench), round, "an answer is outstanding");
        bench.engine.probed(bench.now, &database, false);
        bench.settle();
        let wake = bench.engine.next_wake().expect("it asks again");
        assert!(wake - bench.now <= milliseconds(10 << round.min(7)).min(milliseconds(1_000)));
    }
    assert!(bench.running().is_empty());
    bench.engine.probed(bench.now, &Dependency::new("unknown"), true);
    bench.settle();
    assert_eq!(open(&bench), ["database"]);
    bench.engine.probed(bench.now, &database, true);
    bench.settle();
    let mut running = attempts_running(&bench);
    running.sort_unstable();
    assert_eq!(running, [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn an_outage_is_escalated_once_and_says_how_long() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    for offset in 0..3 {
        bench.finish(offset, systemic("database"));
    }
    let told = |bench: &Bench| {
        bench.others.iter().filter(|effect| matches!(effect, Effect::Escalate(Incident::Outage { .. }))).count()
    };
    bench.pass(Duration::from_secs(59));
    assert_eq!((told(&bench), bench.engine.next_wake()), (0, Some(Time(1) + Duration::from_secs(60))));
    bench.pass(Duration::from_secs(1));
    bench.pass(Duration::from_secs(100));
    assert_eq!(told(&bench), 1);
    let lasted = Duration::from_secs(60);
    assert!(bench.has(|effect| {
        matches!(effect, Effect::Escalate(Incident::Outage { lasted: told, .. }) if *told == lasted)
    }));
}

#[test]
fn marks_say_clean_while_a_circuit_is_open_and_dirty_again_after_it() {
    let database = Dependency::new("database");
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3)]);
    for offset in 0..3 {
        bench.finish(offset, systemic("database"));
    }
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().dirty, 0);
    bench.engine.probed(bench.now, &database, true);
    bench.settle();
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().dirty, 1);
}
