//! Bounds (I7): what is held, what is paused, how much is out.

use super::*;

fn pauses(bench: &Bench) -> (usize, usize) {
    (
        bench.count(|effect| matches!(effect, Effect::Pause(P0))),
        bench.count(|effect| matches!(effect, Effect::Resume(P0))),
    )
}

fn records(offsets: std::ops::Range<i64>, bytes: u32) -> Vec<Arrival<i64>> {
    offsets.map(|offset| Arrival { bytes, ..arrival(offset, 1) }).collect()
}

/// Ends runs until the partition is resumed, and gives the records that wait then.
fn waiting_when_resumed(bench: &mut Bench) -> u64 {
    while pauses(bench).1 == 0 {
        let offset = bench.running().first().copied().expect("something runs as long as something waits");
        bench.finish(offset, Attempt::Succeeded);
    }
    let census = bench.engine.census();
    census.waiting + census.in_flight
}

#[test]
fn a_partition_is_paused_above_its_share_and_resumed_at_half_of_it() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..2_000, 1));
    assert_eq!(pauses(&bench), (0, 0), "two thirds of 3,000");
    bench.poll_arrivals(records(2_000..2_001, 1));
    assert_eq!(pauses(&bench), (1, 0));
    assert_eq!(waiting_when_resumed(&mut bench), 1_000);
}

#[test]
fn bytes_count_as_records_do() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..16, 1 << 17));
    assert_eq!(pauses(&bench), (0, 0), "two thirds of three MiB");
    bench.poll_arrivals(records(16..17, 1));
    assert_eq!(pauses(&bench), (1, 0));
    assert_eq!(waiting_when_resumed(&mut bench), 8, "seven of 128 KiB and the small one");
}

#[test]
fn few_bytes_do_not_resume_what_has_too_many_records() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..2_001, 1));
    for offset in 0..16 {
        bench.finish(offset, Attempt::Succeeded);
    }
    assert_eq!(pauses(&bench), (1, 0));
}

#[test]
fn partitions_share_the_bound() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_arrivals(records(0..1_000, 1));
    assert_eq!(pauses(&bench), (0, 0));
    bench.poll_arrivals(records(1_000..1_001, 1));
    assert_eq!(pauses(&bench), (1, 0));
    assert_eq!(waiting_when_resumed(&mut bench), 500);
}

#[test]
fn a_lost_partition_leaves_its_share_to_the_others() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_arrivals(records(0..1_001, 1));
    assert_eq!(pauses(&bench), (1, 0));
    bench.lose(&[P1]);
    assert_eq!(pauses(&bench), (1, 0), "half of two thirds is a thousand, and one more waits");
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(pauses(&bench), (1, 1));
}

#[test]
fn there_is_room_as_long_as_a_third_is_free_for_partitions_that_are_not_paused() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..999, 1));
    assert!(bench.engine.has_room());
    bench.poll_arrivals(records(999..1_000, 1));
    assert!(!bench.engine.has_room());
    let mut heavy = Bench::new();
    heavy.poll_arrivals(records(0..7, 1 << 17));
    assert!(heavy.engine.has_room());
    heavy.poll_arrivals(records(7..8, 1 << 17));
    assert!(!heavy.engine.has_room(), "one MiB of three");
}

#[test]
fn there_is_no_room_beyond_the_bound_whatever_is_paused() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..2_999, 1));
    assert!(bench.engine.has_room(), "the partition is paused");
    bench.poll_arrivals(records(2_999..3_000, 1));
    assert!(!bench.engine.has_room());
    let mut heavy = Bench::new();
    heavy.poll_arrivals(records(0..23, 1 << 17));
    assert!(heavy.engine.has_room());
    heavy.poll_arrivals(records(23..24, 1 << 17));
    assert!(!heavy.engine.has_room());
    assert_eq!(heavy.engine.buffered_bytes(), 3 << 20);
}

#[test]
fn what_is_lost_or_committed_is_not_held_any_more() {
    let mut bench = Bench::new();
    bench.poll_arrivals(records(0..4, 10));
    assert_eq!(bench.engine.buffered_bytes(), 40);
    for offset in 0..2 {
        bench.finish(offset, Attempt::Succeeded);
    }
    bench.pass(milliseconds(100));
    assert_eq!(bench.engine.buffered_bytes(), 20);
    bench.lose(&[P0]);
    assert_eq!(bench.engine.buffered_bytes(), 0);
}

#[test]
fn a_paused_partition_that_is_lost_counts_for_nothing() {
    let mut bench = Bench::new();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_arrivals(records(0..1_500, 1));
    bench.lose(&[P0]);
    bench.poll_of(P1, records(0..999, 1));
    assert!(bench.engine.has_room());
    bench.poll_of(P1, records(999..1_000, 1));
    assert!(!bench.engine.has_room());
}

#[test]
fn records_that_were_delivered_twice_count_once() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 1)]);
    bench.poll(&[(0, 1), (1, 1), (2, 1)]);
    assert_eq!(bench.engine.census().polled, 3);
    assert_eq!(bench.running(), [0, 1], "and the third waits behind the run");
}

#[test]
fn a_replica_and_a_route_hand_out_no_more_than_they_may() {
    let out = |max_in_flight, concurrency, max_run| {
        let settings = Settings { max_in_flight, max_run, ..settings() };
        let mut bench = Bench::with_routes(settings, vec![RoutePolicy { concurrency, ..route() }]);
        bench.poll(&[(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 4)]);
        bench.running()
    };
    assert_eq!(out(100, 100, 16), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(out(4, 100, 16), [0, 1, 2, 3]);
    assert_eq!(out(100, 4, 16), [0, 1, 2, 3]);
    assert_eq!(out(100, 100, 2), [0, 1, 3, 4, 5, 6]);
    assert_eq!(out(100, 0, 16), [] as [i64; 0], "a disabled route");
}

#[test]
fn slots_are_free_again_when_records_come_back() {
    let mut bench = Bench::with(Settings { max_in_flight: 2, ..settings() }, 0, "");
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    assert_eq!(bench.running(), [0, 1]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.running(), [1, 2]);
    bench.finish(1, transient(1));
    bench.finish(2, Attempt::Cancelled);
    assert_eq!(bench.running().len(), 2);
}

#[test]
fn routes_take_turns() {
    let settings = Settings { max_in_flight: 1, max_run: 1, ..settings() };
    let mut bench = Bench::with_routes(settings, vec![route(), route(), route()]);
    let of_route = |offset: i64| {
        let verdict =
            Verdict::Routed { route: RouteId(u32::try_from(offset % 3).unwrap()), lane: offset.cast_unsigned() };
        Arrival { verdict, ..arrival(offset, 0) }
    };
    bench.poll_arrivals((0..9).map(of_route).collect());
    let mut order = Vec::new();
    for _ in 0..9 {
        let job = bench.running.front().expect("one runs").clone();
        order.push(job.route.0);
        bench.finish(job.ticket.offset.0, Attempt::Succeeded);
    }
    let mut by_route = order.clone();
    by_route.sort_unstable();
    assert_eq!(by_route, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
}

#[test]
fn the_census_adds_up_or_says_that_it_does_not() {
    let ends = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
    let [
        waiting,
        in_flight,
        parked,
        staged,
        halted,
        released,
        processed,
        duplicate,
        filtered,
        moved,
        dead_lettered,
        unprocessed,
        already_resolved,
    ] = ends;
    let census = Census {
        polled: ends.iter().sum(),
        waiting,
        in_flight,
        parked,
        staged,
        halted,
        released,
        processed,
        duplicate,
        filtered,
        moved,
        dead_lettered,
        unprocessed,
        already_resolved,
    };
    assert!(census.adds_up());
    assert!(!Census { polled: census.polled + 1, ..census }.adds_up());
    let mut twice = census;
    twice += census;
    let doubled = Census {
        polled: 2 * census.polled,
        waiting: 2 * waiting,
        in_flight: 2 * in_flight,
        parked: 2 * parked,
        staged: 2 * staged,
        halted: 2 * halted,
        released: 2 * released,
        processed: 2 * processed,
        duplicate: 2 * duplicate,
        filtered: 2 * filtered,
        moved: 2 * moved,
        dead_lettered: 2 * dead_lettered,
        unprocessed: 2 * unprocessed,
        already_resolved: 2 * already_resolved,
    };
    assert_eq!(twice, doubled);
}

#[test]
fn every_record_is_counted_where_it_is() {
    let mut bench = Bench::new();
    let verdict = |offset, verdict| Arrival { verdict, ..arrival(offset, 0) };
    let waits = Arrival { not_before: Some(Time(10_000_000)), ..arrival(9, 9) };
    bench.poll_arrivals(vec![
        verdict(0, Verdict::Poison),
        verdict(1, Verdict::Unrecognised),
        arrival(2, 2),
        arrival(3, 3),
        arrival(4, 4),
        Arrival { identity: Some(Identity(2)), ..arrival(5, 5) },
        arrival(6, 6),
        arrival(7, 6),
        arrival(8, 8),
        waits,
    ]);
    bench.finish(2, Attempt::Succeeded);
    bench.finish(3, Attempt::Filtered);
    bench.finish(4, Attempt::Failed { class: Class::Panic, code: 1 });
    let census = bench.engine.census();
    assert_eq!((census.polled, census.in_flight, census.parked), (10, 3, 2));
    assert_eq!((census.waiting, census.staged), (0, 5), "three still run, so nothing is committed yet");
    bench.pass(milliseconds(100));
    let census = bench.engine.census();
    let ends = (census.processed, census.filtered, census.duplicate, census.dead_lettered, census.unprocessed);
    assert_eq!((ends, census.staged), ((1, 1, 1, 1, 1), 0));
    let of_partition = bench.engine.census_of(P0);
    assert_eq!((of_partition.in_flight, of_partition.processed), (census.in_flight, 0));
    assert_eq!(bench.engine.census_of(P1), Census::default());
}
