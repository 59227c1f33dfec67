//! The offset map's window: what it cannot hold waits, and a head that is parked in its way goes by policy.

use super::*;

/// Offsets that fit: three bytes of a bit each.
const WINDOW: i64 = 24;

fn narrow(overflow: Overflow, ordering: Ordering) -> Bench {
    let settings = Settings { max_metadata_bytes: 467, max_run: 1, ..settings() };
    assert_eq!(8 * offset_map::room(settings.max_parked, settings.max_metadata_bytes) as i64, WINDOW);
    let retry = Policy { in_place_attempts: 3, fault_attempts: 3, ..route().retry };
    Bench::with_routes(settings, vec![RoutePolicy { overflow, ordering, retry, ..route() }])
}

/// A lane for each offset.
fn poll_through(bench: &mut Bench, offsets: std::ops::Range<i64>) {
    let records: Vec<_> = offsets.map(|offset| (offset, 100 + offset.cast_unsigned())).collect();
    bench.poll(&records);
}

fn panicked() -> Attempt {
    Attempt::Failed { class: Class::Panic, code: 1 }
}

#[test]
fn records_beyond_the_window_wait_until_it_moves() {
    let mut bench = narrow(Overflow::DeadLetter, Ordering::Key);
    poll_through(&mut bench, 0..WINDOW);
    assert!(!bench.engine.window_is_full(P0));
    poll_through(&mut bench, WINDOW..WINDOW + 3);
    assert_eq!(bench.running().last(), Some(&(WINDOW - 1)));
    assert!(bench.engine.window_is_full(P0) && !bench.engine.window_is_full(P1));
    for offset in 1..WINDOW {
        bench.finish(offset, Attempt::Succeeded);
    }
    bench.pass(milliseconds(100));
    assert_eq!(bench.running(), [0], "the lowest still runs, and nothing goes by policy for that");
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.running(), [WINDOW, WINDOW + 1, WINDOW + 2]);
    assert!(!bench.engine.window_is_full(P0));
}

#[test]
fn a_head_that_is_parked_already_leaves_when_the_window_is_full() {
    for (overflow, ordering, tier) in [
        (Overflow::RetryTopic, Ordering::Key, true),
        (Overflow::RetryTopic, Ordering::Strict, false),
        (Overflow::DeadLetter, Ordering::Key, false),
    ] {
        let mut bench = narrow(overflow, ordering);
        bench.poll(&[(0, 1), (1, 1)]);
        bench.finish(0, panicked());
        bench.pass(milliseconds(0));
        poll_through(&mut bench, 2..WINDOW + 1);
        bench.pass(milliseconds(0));
        let left = bench.staged.iter().find(|output| output.payload == 0 && output.disposition.resolves());
        let left = left.expect("it has left");
        assert_eq!((left.attempt, left.overflow), (1, true), "with the attempt that was reported before");
        assert_eq!(matches!(left.disposition, Disposition::RetryTopic { tier: 0, .. }), tier);
        assert_eq!(
            bench.running().contains(&1),
            tier,
            "its key goes on, if the dead letter is not to be committed first"
        );
        bench.pass(milliseconds(100));
        assert!(bench.running().contains(&1), "its key goes on");
    }
}

#[test]
fn a_head_that_waits_for_what_is_down_is_not_sent_away_whatever_it_has_tried() {
    let mut bench = narrow(Overflow::DeadLetter, Ordering::Key);
    bench.poll(&[(0, 1)]);
    bench.finish(0, panicked());
    bench.pass(milliseconds(10));
    for _ in 0..3 {
        bench.finish(0, systemic("http:shop"));
        bench.pass(milliseconds(10));
    }
    assert_eq!((bench.running(), open(&bench)), (vec![], vec!["http:shop".to_owned()]));
    poll_through(&mut bench, 1..WINDOW + 3);
    bench.pass(milliseconds(100));
    assert!(bench.engine.window_is_full(P0));
    let left = |(record, _, end): &(i64, u32, Disposition)| *record == 0 && end.resolves();
    assert!(!bench.ends.iter().any(left) && bench.staged.is_empty());
    bench.engine.probed(bench.now, &Dependency::new("http:shop"), true);
    bench.settle();
    assert!(bench.running.iter().any(|job| (job.ticket.offset.0, job.attempt) == (0, 2)));
}

#[test]
fn a_head_that_fails_behind_a_full_window_leaves_at_once() {
    let mut bench = narrow(Overflow::DeadLetter, Ordering::Key);
    bench.poll(&[(0, 1), (1, 1)]);
    poll_through(&mut bench, 2..WINDOW + 2);
    assert!(bench.engine.window_is_full(P0));
    bench.finish(0, panicked());
    bench.pass(milliseconds(0));
    let dispositions: Vec<_> =
        bench.staged.iter().filter(|output| output.payload == 0).map(|output| output.disposition.clone()).collect();
    assert_eq!(dispositions.len(), 2, "{dispositions:?}");
    assert!(matches!(dispositions[0], Disposition::RetryInPlace { .. }), "the attempt is reported");
    assert_eq!(dispositions[1], Disposition::DeadLetter { class: Class::Transient });
    bench.pass(milliseconds(100));
    assert!(bench.running().contains(&1));
}

#[test]
fn where_overflow_says_halt_the_head_is_retried_in_its_place_and_others_wait() {
    let mut bench = narrow(Overflow::Halt, Ordering::Strict);
    bench.poll(&[(0, 1), (1, 1)]);
    bench.finish(0, panicked());
    poll_through(&mut bench, 2..WINDOW + 2);
    for offset in 2..WINDOW {
        bench.finish(offset, Attempt::Succeeded);
    }
    assert!(bench.running().is_empty() && bench.engine.window_is_full(P0));
    bench.pass(milliseconds(100));
    assert_eq!((bench.position(), bench.map().resolved), (0, ranges(&[(2, WINDOW)])));
    assert_eq!((bench.running(), bench.running[0].attempt), (vec![0], 2));
    for offset in 0..2 {
        bench.finish(offset, Attempt::Succeeded);
        bench.pass(milliseconds(100));
    }
    assert!(bench.running().contains(&(WINDOW + 1)) && !bench.engine.window_is_full(P0));
    assert!(bench.others.is_empty(), "nobody has to be told: {:?}", bench.others);
}

#[test]
fn a_head_that_waits_for_its_first_due_time_is_not_sent_away() {
    let mut bench = narrow(Overflow::DeadLetter, Ordering::Key);
    let due = bench.now + Duration::from_secs(60);
    bench.poll_arrivals(vec![Arrival { not_before: Some(due), attempts: 1, ..arrival(0, 1) }]);
    poll_through(&mut bench, 1..WINDOW + 2);
    assert!(bench.engine.window_is_full(P0));
    assert!(bench.staged.is_empty() && bench.ends.is_empty());
    bench.pass(Duration::from_secs(60));
    assert!(bench.running().contains(&0));
}

#[test]
fn a_run_ends_where_the_window_does() {
    let settings = Settings { max_metadata_bytes: 467, max_run: 100, ..settings() };
    let mut bench = Bench::with(settings, 0, "");
    let records: Vec<_> = (0..WINDOW + 5).map(|offset| (offset, 1)).collect();
    bench.poll(&records);
    assert_eq!(bench.running(), (0..WINDOW).collect::<Vec<_>>());
}

/// More keys that stand still for good than the offset map has places for.
#[test]
fn halted_keys_beyond_the_maps_places_wait_for_one_and_the_map_stays_small() {
    let places = settings().max_parked as i64 + offset_map::MAX_HALTED as i64;
    // Bytes for the attempts of just so many records, at offsets far apart.
    let settings = Settings { max_metadata_bytes: 467, max_in_flight: 1_000, ..settings() };
    let halts = RoutePolicy {
        exhausted: Exhausted::Halt,
        overflow: Overflow::Halt,
        ordering: Ordering::Strict,
        retry: Policy { in_place_attempts: 1, fault_attempts: 1, tiers: Vec::new(), ..route().retry },
        ..route()
    };
    let mut bench = Bench::with_routes(settings.clone(), vec![halts.clone()]);
    let mut halted = 0;
    for offset in 0..places + 3 {
        bench.poll(&[(offset, 100 + offset.cast_unsigned())]);
        bench.finish(offset, panicked());
        bench.pass(milliseconds(100));
        halted = bench.ends.iter().filter(|(_, _, end)| matches!(end, Disposition::Halted { .. })).count() as i64;
        assert_eq!(halted, (offset + 1).min(places), "offset {offset}");
    }
    let told = bench.count(|effect| matches!(effect, Effect::Escalate(Incident::Halted { .. })));
    assert_eq!(told as i64, places + 3, "somebody is told of every one");
    assert_eq!(bench.map().attempts.len() as i64, halted);
    assert!(bench.running().is_empty() && bench.engine.window_is_full(P0), "and none runs again and again");
    let (position, metadata) = bench.committed.clone().unwrap();
    let mut next = Bench::unassigned(settings, vec![halts]);
    next.assign(&assignment(P0, position.0, &metadata));
    next.poll(&(0..places + 3).map(|offset| (offset, 100 + offset.cast_unsigned())).collect::<Vec<_>>());
    assert_eq!(next.running(), [places, places + 1, places + 2], "those that have used no attempt");
    next.finish(places + 1, Attempt::Succeeded);
    next.finish(places, panicked());
    next.pass(milliseconds(100));
    assert_eq!(next.map().attempts.len() as i64, places);
}

#[test]
fn records_that_end_without_a_handler_wait_for_room_too() {
    for (settings, step, records) in [
        // With gaps, as transactional publishers leave them; and a map that cannot grow.
        (Settings { max_records: 3_000, max_metadata_bytes: 731, max_in_flight: 1, ..settings() }, 2, 1_200),
        (Settings { max_metadata_bytes: 467, max_in_flight: 1, ..settings() }, 1, 200),
    ] {
        let mut bench = Bench::with(settings, 0, "");
        for start in (0..records).step_by(100) {
            let unwanted = |n: i64| Arrival { verdict: Verdict::Unrecognised, ..arrival(n * step, 1) };
            bench.poll_arrivals(
                (start..start + 100).map(|n| if n % 2 == 0 { arrival(n * step, 7) } else { unwanted(n) }).collect(),
            );
            bench.pass(milliseconds(200));
        }
        assert_eq!(bench.running(), [0], "the first one takes long");
        assert!(bench.engine.window_is_full(P0));
        let ended = bench.ends.len();
        assert!(ended < records as usize / 2, "{ended} are resolved above it");
        for n in (0..records).step_by(2) {
            bench.finish(n * step, Attempt::Succeeded);
            bench.pass(milliseconds(200));
        }
        assert_eq!(bench.ends.len(), records as usize);
        assert_eq!(bench.position(), (records - 1) * step + 1);
    }
}
