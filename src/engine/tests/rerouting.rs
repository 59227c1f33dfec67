//! Other routes come into force while records are held.

use super::*;

/// Every record goes to this route.
fn to(route: u32) -> impl FnMut(&i64) -> Rerouted<i64> {
    move |offset| {
        let lane = u64::try_from(*offset).unwrap();
        let verdict = Verdict::Routed { route: RouteId(route), lane };
        Rerouted { verdict, payload: *offset }
    }
}

fn to_nowhere(offset: &i64) -> Rerouted<i64> {
    Rerouted { verdict: Verdict::Unrecognised, payload: *offset }
}

impl Bench {
    fn reroute(&mut self, routes: Vec<RoutePolicy>, look: impl FnMut(&i64) -> Rerouted<i64>) {
        self.engine.reroute(self.now, routes, look);
        self.settle();
    }
}

fn attempts(in_place_attempts: u32) -> Policy {
    Policy { in_place_attempts, tiers: Vec::new(), ..route().retry }
}

#[test]
fn a_parked_record_keeps_its_attempts_and_goes_on_under_the_new_policy() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1)]);
    bench.finish(0, transient(5));
    bench.finish(1, Attempt::Succeeded);
    bench.reroute(vec![RoutePolicy { retry: attempts(3), ..route() }], to(0));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running.iter().map(|job| job.attempt).collect::<Vec<_>>(), [2]);
    bench.finish(0, transient(5));
    bench.pass(Duration::from_secs(1));
    bench.pass(Duration::from_secs(1));
    bench.finish(0, transient(5));
    bench.pass(Duration::from_secs(1));
    let ends: Vec<_> = bench.ends.iter().filter(|(offset, ..)| *offset == 0).map(|(_, attempt, _)| *attempt).collect();
    assert_eq!(ends, [1, 2, 3], "{:?}", bench.ends);
    assert!(matches!(bench.ends.last(), Some((0, 3, Disposition::DeadLetter { class: Class::Transient }))));
}

#[test]
fn a_parked_record_that_has_used_what_the_new_policy_allows_ends() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1)]);
    bench.finish(0, transient(5));
    bench.finish(1, Attempt::Succeeded);
    bench.reroute(vec![RoutePolicy { retry: attempts(1), ..route() }], to(0));
    assert_eq!(bench.ends.last(), Some(&(0, 1, Disposition::DeadLetter { class: Class::Transient })));
    assert_eq!(bench.position(), 2);
}

#[test]
fn a_lane_of_the_new_ordering_starts_nothing_before_all_that_runs_in_it_is_back() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1), (2, 2)]);
    assert_eq!(bench.running(), [0, 1, 2]);
    bench.reroute(vec![RoutePolicy { ordering: Ordering::Partition, ..route() }], to(0));
    bench.poll(&[(3, 3), (4, 4)]);
    bench.finish(2, Attempt::Succeeded);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.running(), [1], "one of the partition's lane is still out");
    bench.finish(1, Attempt::NotStarted);
    assert_eq!(bench.running(), [1, 3, 4], "then in the order of the log");
    for offset in [1, 3, 4] {
        bench.finish(offset, Attempt::Succeeded);
    }
    assert_eq!(bench.position(), 5);
}

#[test]
fn a_key_whose_ordering_is_loosened_goes_on_beside_what_runs() {
    let mut bench = Bench::new();
    bench.reroute(vec![RoutePolicy { ordering: Ordering::Partition, ..route() }], to(0));
    bench.poll(&[(0, 0), (1, 1), (2, 2)]);
    bench.finish(0, transient(5));
    for offset in [1, 2] {
        bench.finish(offset, Attempt::NotStarted);
    }
    assert!(bench.running().is_empty(), "the head is held back, and the partition with it");
    bench.reroute(vec![route()], to(0));
    let mut running = bench.running();
    running.sort_unstable();
    assert_eq!(running, [0, 1, 2]);
    assert_eq!(bench.running.iter().map(|job| job.attempt).max(), Some(1), "what was in doubt used no attempt");
}

#[test]
fn what_no_route_takes_any_more_is_unprocessed_unless_it_runs_and_succeeds() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)]);
    bench.finish(0, transient(5));
    bench.finish(1, Attempt::Succeeded);
    bench.reroute(vec![route()], to_nowhere);
    bench.pass(Duration::from_millis(100));
    assert!(bench.ends.contains(&(0, 1, Disposition::Unprocessed)), "{:?}", bench.ends);
    bench.finish(2, Attempt::Succeeded);
    bench.finish(3, transient(5));
    bench.finish(4, Attempt::NotStarted);
    for end in [(2, 1, Disposition::Processed), (3, 1, Disposition::Unprocessed), (4, 0, Disposition::Unprocessed)] {
        assert!(bench.ends.contains(&end), "{end:?} in {:?}", bench.ends);
    }
    assert_eq!(bench.position(), 5);
}

#[test]
fn a_route_that_is_disabled_holds_its_records_and_lets_them_go_when_it_is_enabled() {
    let mut bench = Bench::new();
    bench.reroute(vec![RoutePolicy { concurrency: 0, ..route() }, route()], to(0));
    bench.poll(&[(0, 0), (1, 1)]);
    assert!(bench.running().is_empty());
    bench.reroute(vec![route()], to(0));
    assert_eq!(bench.running(), [0, 1]);
}

#[test]
fn what_runs_counts_against_the_new_routes_concurrency() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1), (2, 2)]);
    bench.reroute(vec![RoutePolicy { concurrency: 1, ..route() }], to(0));
    bench.poll(&[(3, 3)]);
    for offset in [0, 1] {
        bench.finish(offset, Attempt::Succeeded);
    }
    assert_eq!(bench.running(), [2]);
    bench.finish(2, Attempt::Succeeded);
    assert_eq!(bench.running(), [3]);
}

fn with_handlers(list: u64) -> RoutePolicy {
    RoutePolicy { handlers: HandlerList(list), ..route() }
}

#[test]
fn handlers_that_have_succeeded_stay_done_if_the_route_has_them_again_when_the_attempt_ends() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1)]);
    let ticket = bench.running.pop_front().unwrap().ticket;
    bench.reroute(vec![with_handlers(2)], to(0));
    bench.reroute(vec![route()], to(0));
    let failed =
        Finished { ticket, verdict: transient(5), done: 0b1, took: Duration::ZERO, wait: Duration::ZERO, report: None };
    bench.engine.finished(bench.now, failed);
    bench.settle();
    bench.finish(1, Attempt::Succeeded);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running.iter().map(|job| (job.attempt, job.done)).collect::<Vec<_>>(), [(2, 0b1)]);
}

#[test]
fn handlers_that_have_succeeded_run_again_if_the_route_has_others_now() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1)]);
    let ticket = bench.running[0].ticket;
    // The second time the handlers are those that the record is handled by already.
    bench.reroute(vec![with_handlers(2)], to(0));
    bench.reroute(vec![with_handlers(2)], to(0));
    bench.running.pop_front();
    bench.engine.finished(
        bench.now,
        Finished { ticket, verdict: transient(5), done: 0b1, took: Duration::ZERO, wait: Duration::ZERO, report: None },
    );
    bench.settle();
    bench.finish(1, Attempt::Succeeded);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running.iter().map(|job| (job.attempt, job.done)).collect::<Vec<_>>(), [(2, 0)]);
    let (position, metadata) = bench.committed.clone().unwrap();
    let map = offset_map::OffsetMap::decode(&metadata, 9, position).unwrap();
    assert_eq!(map.attempts[0].done, 0, "nor does a restart take them for done");
}

#[test]
fn an_outage_seen_in_a_routes_failures_ends_with_the_route() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1), (2, 2), (3, 3)]);
    (0..4).for_each(|offset| bench.finish(offset, transient(5)));
    assert!(bench.engine.open_circuits().next().is_some());
    bench.reroute(vec![route()], to(0));
    assert!(bench.engine.open_circuits().next().is_none());
    assert_eq!(bench.running.len(), 4);
}

#[test]
fn a_partition_that_is_given_up_drains_across_the_change() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1), (2, 1)]);
    bench.engine.revoked(bench.now, &[P0]);
    bench.reroute(vec![route()], to_nowhere);
    bench.finish(0, Attempt::Succeeded);
    bench.finish(1, Attempt::NotStarted);
    bench.finish(2, Attempt::NotStarted);
    assert!(bench.engine.is_drained());
    assert!(bench.engine.census().adds_up());
}

#[test]
fn records_that_end_because_the_routes_change_wait_for_room_in_the_offset_map() {
    let settings = Settings { max_metadata_bytes: 467, max_in_flight: 1, ..settings() };
    let mut bench = Bench::with_routes(settings, vec![RoutePolicy { retry: attempts(5), ..route() }]);
    bench.poll(&(0..200_i64).map(|offset| (offset, offset.cast_unsigned())).collect::<Vec<_>>());
    // Every second one is taken by no route any more: the map has a bit for each offset.
    let every_second = |offset: &i64| if offset % 2 == 0 { to(0)(offset) } else { to_nowhere(offset) };
    bench.reroute(vec![route()], every_second);
    bench.pass(milliseconds(200));
    assert_eq!(bench.running(), [0]);
    assert!(bench.engine.window_is_full(P0));
    let unprocessed = |bench: &Bench| bench.ends.iter().filter(|(.., end)| *end == Disposition::Unprocessed).count();
    assert!((1..99).contains(&unprocessed(&bench)), "{} have ended", unprocessed(&bench));
    while let Some(offset) = bench.running().first().copied() {
        bench.finish(offset, Attempt::Succeeded);
        bench.pass(milliseconds(200));
    }
    assert_eq!((unprocessed(&bench), bench.ends.len(), bench.position()), (100, 200, 200));
}

#[test]
fn a_record_that_was_halted_before_it_was_due_waits_until_it_is_when_the_routes_let_it_go_on() {
    let halts = RoutePolicy { exhausted: Exhausted::Halt, retry: attempts(1), ..route() };
    let mut bench = Bench::with_routes(settings(), vec![halts]);
    let due = bench.now + Duration::from_secs(5);
    bench.poll_arrivals(vec![Arrival { attempts: 1, not_before: Some(due), ..arrival(0, 1) }]);
    assert!(bench.has(|effect| matches!(effect, Effect::Escalate(Incident::Halted { .. }))));
    bench.reroute(vec![RoutePolicy { retry: attempts(3), ..route() }], to(0));
    bench.pass(Duration::from_secs(4));
    assert!(bench.running().is_empty());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running(), [0]);
}

/// Outputs that wait for their transaction's commit: what, after which attempt, and whether that was reported before.
fn staged(bench: &Bench) -> Vec<(i64, Disposition, u32, bool)> {
    let shown =
        |output: &Output<i64, ()>| (output.payload, output.disposition.clone(), output.attempt, output.overflow);
    bench.staged.iter().map(shown).collect()
}

#[test]
fn an_attempt_that_was_reported_when_its_record_was_parked_is_not_reported_again_when_no_route_takes_it() {
    let mut parked = Bench::with_routes(settings(), vec![RoutePolicy { retry: attempts(3), ..route() }]);
    parked.poll(&[(0, 0), (1, 1)]);
    parked.finish(0, transient(5));
    parked.finish(1, Attempt::Succeeded);
    parked.pass(milliseconds(100));
    let nowhere = |offset, attempts| Arrival { verdict: Verdict::Unrecognised, attempts, ..arrival(offset, 1) };
    let mut restarted = parked.restarted();
    restarted.holds_commits = true;
    restarted.poll_arrivals(vec![nowhere(0, 0), nowhere(2, 0), nowhere(3, 1)]);
    restarted.pass(milliseconds(100));
    let unprocessed = |offset, attempt, reported| (offset, Disposition::Unprocessed, attempt, reported);
    let expected = [
        unprocessed(0, 1, true),
        unprocessed(2, 0, false),
        // The retry topic's record came with it: its outcome was that it moved there.
        unprocessed(3, 1, false),
    ];
    assert_eq!(staged(&restarted), expected, "the next owner");

    parked.pass(Duration::from_secs(1));
    assert_eq!(parked.running(), [0]);
    parked.poll_arrivals(vec![arrival(2, 2), Arrival { attempts: 1, ..arrival(3, 3) }]);
    parked.reroute(vec![route()], to_nowhere);
    parked.holds_commits = true;
    for offset in [0, 2, 3] {
        parked.finish(offset, Attempt::NotStarted);
    }
    parked.pass(milliseconds(100));
    assert_eq!(staged(&parked), expected, "the same owner, of records that were with a worker");
}

#[test]
fn records_that_wait_for_the_deduplication_window_follow_the_new_routes() {
    let mut bench = Bench::unassigned(settings(), vec![route()]);
    bench.assign(&Assignment { log_start: NextOffset(0), ..assignment(P0, 10, "") });
    bench.poll(&[(10, 1), (11, 2)]);
    let look = |offset: &i64| if *offset == 10 { to(1)(offset) } else { to_nowhere(offset) };
    bench.reroute(vec![route(), route()], look);
    bench.engine.dedup_rebuilt(bench.now, P0, bench.epochs[&P0], &[]);
    bench.settle();
    let running: Vec<_> = bench.running.iter().map(|job| (job.ticket.offset.0, job.route)).collect();
    assert_eq!(running, [(10, RouteId(1))]);
    bench.pass(milliseconds(100));
    assert_eq!(bench.ends, [(11, 0, Disposition::Unprocessed)]);
}

#[test]
fn what_handlers_have_done_is_not_said_of_others_by_an_output_that_waits_for_its_transaction() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 0), (1, 1)]);
    bench.holds_commits = true;
    bench.finish(0, Attempt::Succeeded);
    bench.pass(milliseconds(100));
    assert!(bench.held_commit.is_some());
    let ticket = bench.running.pop_front().unwrap().ticket;
    let panicked = Attempt::Failed { class: Class::Panic, code: 1 };
    let finished =
        Finished { ticket, verdict: panicked, done: 0b1, took: Duration::ZERO, wait: Duration::ZERO, report: None };
    bench.engine.finished(bench.now, finished);
    bench.reroute(vec![with_handlers(2)], to(0));
    bench.end_commit(true);
    bench.pass(milliseconds(100));
    let done: Vec<_> = bench.staged.iter().map(|output| (output.payload, output.done)).collect();
    assert_eq!(done, [(1, 0)]);
}

#[test]
fn a_parked_record_halts_if_the_new_policy_says_so_and_one_that_is_halted_is_told_of_once() {
    let halts = || RoutePolicy { exhausted: Exhausted::Halt, retry: attempts(1), ..route() };
    let mut bench = Bench::new();
    bench.poll(&[(0, 0)]);
    bench.finish(0, Attempt::Failed { class: Class::Panic, code: 1 });
    let halted = |bench: &Bench| bench.count(|effect| matches!(effect, Effect::Escalate(Incident::Halted { .. })));
    for _ in 0..3 {
        bench.reroute(vec![halts()], to(0));
        assert_eq!(halted(&bench), 1);
    }
    bench.pass(Duration::from_secs(60));
    assert!(bench.running().is_empty());
}
