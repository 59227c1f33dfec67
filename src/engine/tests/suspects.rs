//! A record that kills its process: what is remembered of deaths, and how a suspect runs.

use super::offset_map::{MAX_SUSPECTS, OffsetMap, Suspect};
use super::suspicion::{Permission, Suspicion};
use super::*;

const POSITION: NextOffset = NextOffset(10);

fn after(dirty: u32, running: Option<i64>, suspects: &[(i64, u32)]) -> Suspicion {
    let suspects = suspects.iter().map(|(offset, deaths)| Suspect { offset: Offset(*offset), deaths: *deaths });
    let map = OffsetMap { dirty, running: running.map(Offset), suspects: suspects.collect(), ..OffsetMap::default() };
    Suspicion::new(Some(&map), POSITION, &settings())
}

fn written(suspicion: &Suspicion, clean: bool, circuit_open: bool) -> OffsetMap {
    let mut map = OffsetMap::default();
    suspicion.write(&mut map, POSITION, clean, circuit_open);
    map
}

fn deaths(suspicion: &Suspicion) -> Vec<(i64, u32)> {
    written(suspicion, false, false).suspects.iter().map(|suspect| (suspect.offset.0, suspect.deaths)).collect()
}

#[test]
fn the_record_that_ran_when_its_owner_died_is_counted() {
    assert_eq!(deaths(&after(2, Some(12), &[])), [(12, 1)]);
    assert_eq!(deaths(&after(2, Some(12), &[(12, 1), (13, 2)])), [(12, 2), (13, 2)]);
    assert_eq!(deaths(&after(0, Some(12), &[])), [], "its owner ended well, or in an outage");
    assert_eq!(deaths(&after(2, None, &[(13, 1)])), [(13, 1)]);
}

#[test]
fn the_worst_suspects_are_remembered() {
    let many: Vec<_> = (0..MAX_SUSPECTS as i64).map(|n| (10 + n, 1)).collect();
    assert_eq!(deaths(&after(2, None, &many)).len(), MAX_SUSPECTS);
    let mut more = many.clone();
    more.push((50, 2));
    let kept = deaths(&after(2, None, &more));
    assert_eq!((kept.len(), kept[0]), (MAX_SUSPECTS, (50, 2)));
}

#[test]
fn enough_deaths_condemn_and_enough_dirty_ends_make_a_partition_suspect() {
    let suspicion = after(3, None, &[(12, 2), (13, 3)]);
    let condemned = |offset| suspicion.condemns(Offset(offset), 3);
    assert_eq!([11, 12, 13].map(condemned), [false, false, true]);
    assert!(!after(1, None, &[]).one_at_a_time() && after(2, None, &[]).one_at_a_time());
    assert!(!Suspicion::new(None, POSITION, &settings()).one_at_a_time());
}

#[test]
fn a_suspect_runs_only_when_what_announces_it_is_committed() {
    let mut suspicion = after(2, None, &[]);
    let (record, other) = (Offset(12), Offset(13));
    assert_eq!(suspicion.permission(record), Permission::Announce);
    suspicion.committed(TransactionId(1));
    assert_eq!(suspicion.permission(record), Permission::Wait, "no transaction says so yet");
    suspicion.included_in(TransactionId(2));
    suspicion.included_in(TransactionId(3));
    suspicion.committed(TransactionId(3));
    assert_eq!(suspicion.permission(record), Permission::Wait);
    suspicion.committed(TransactionId(2));
    assert_eq!(suspicion.permission(record), Permission::Granted);
    suspicion.aborted();
    assert_eq!(suspicion.permission(record), Permission::Granted, "it is committed already");
    assert_eq!(suspicion.permission(other), Permission::Announce);
    suspicion.included_in(TransactionId(4));
    suspicion.aborted();
    suspicion.committed(TransactionId(4));
    assert_eq!(suspicion.permission(other), Permission::Wait);
    suspicion.included_in(TransactionId(5));
    suspicion.committed(TransactionId(5));
    assert_eq!(suspicion.permission(other), Permission::Granted);
}

#[test]
fn who_came_back_is_no_suspect_any_more() {
    let mut suspicion = after(3, Some(12), &[(13, 1)]);
    assert_eq!(suspicion.permission(Offset(12)), Permission::Announce);
    assert_eq!(suspicion.announced_offset(), Some(Offset(12)));
    suspicion.came_back(Offset(12));
    assert_eq!((suspicion.announced_offset(), deaths(&suspicion)), (None, vec![(13, 1)]));
    assert!(!suspicion.withdraw());
    suspicion.permission(Offset(13));
    assert!(suspicion.withdraw() && suspicion.announced_offset().is_none());
}

#[test]
fn probation_ends_behind_everything_that_a_dead_owner_can_have_had() {
    let ends = |dirty, low, at_end| {
        let mut suspicion = after(dirty, None, &[(13, 1)]);
        let ended = suspicion.progressed(NextOffset(low), at_end);
        assert_eq!(ended, suspicion.dirty == 1 && dirty > 0 && deaths(&suspicion).is_empty(), "{dirty} {low} {at_end}");
        ended
    };
    assert!(!ends(1, 50_009, false) && ends(1, 50_010, false), "50,000 offsets from the position on");
    assert!(ends(2, 11, true), "or at the end");
    assert!(!ends(0, 60_000, true), "nothing to end");
    let mut suspect = after(2, None, &[]);
    suspect.permission(Offset(12));
    assert!(suspect.progressed(NextOffset(50_010), false));
    assert!(!suspect.one_at_a_time() && suspect.announced_offset().is_none());
}

#[test]
fn what_metadata_says_of_suspects() {
    let mut suspicion = after(2, Some(12), &[(9, 1)]);
    suspicion.permission(Offset(12));
    let map = written(&suspicion, false, false);
    assert_eq!((map.dirty, map.running), (3, Some(Offset(12))));
    assert_eq!(map.suspects, [Suspect { offset: Offset(12), deaths: 1 }], "the position has passed the other");
    assert_eq!(written(&suspicion, true, false), OffsetMap::default(), "a clean end");
    let outage = written(&suspicion, false, true);
    assert_eq!((outage.dirty, outage.running, outage.suspects.len()), (0, None, 1), "an outage condemns nobody");
    suspicion.withdraw();
    suspicion.permission(Offset(9));
    assert_eq!(written(&suspicion, false, false).running, None);
}

/// A partition whose owners have died twice.
fn suspect_bench() -> Bench {
    let metadata = OffsetMap { dirty: 2, ..OffsetMap::default() }.encode(IDENTITY, POSITION, 4096);
    let mut bench = Bench::unassigned(settings(), vec![route(), RoutePolicy { concurrency: 1, ..route() }]);
    bench.assign(&Assignment { log_start: POSITION, ..assignment(P0, POSITION.0, &metadata) });
    bench
}

#[test]
fn a_suspect_partition_runs_one_record_at_a_time_each_named_before() {
    let mut bench = suspect_bench();
    bench.poll(&[(10, 1), (11, 1), (12, 2)]);
    // Lanes take turns.
    for offset in [10, 12, 11] {
        assert_eq!(bench.running(), [offset]);
        assert_eq!(bench.map().running, Some(Offset(offset)));
        bench.finish(offset, Attempt::Succeeded);
    }
    assert_eq!((bench.position(), bench.map().running), (13, None));
}

#[test]
fn a_suspect_runs_alone_in_the_whole_process() {
    let mut bench = suspect_bench();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_of(P1, vec![arrival(0, 1)]);
    bench.poll(&[(10, 1), (11, 2)]);
    assert_eq!(bench.running(), [0], "it waits for what runs");
    bench.poll_of(P1, vec![arrival(1, 2)]);
    assert_eq!(bench.running(), [0], "and nothing else begins");
    bench.finish(0, Attempt::Succeeded);
    assert_eq!(bench.running(), [10]);
    bench.finish(10, Attempt::Succeeded);
    assert_eq!(bench.running().len(), 1);
}

#[test]
fn a_suspect_whose_partition_or_dependency_goes_holds_up_nobody() {
    let database = Dependency::new("database");
    let mut bench = suspect_bench();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_of(P1, vec![arrival(0, 1), arrival(1, 2)]);
    bench.poll(&[(10, 1)]);
    bench.lose(&[P0]);
    bench.poll_of(P1, vec![arrival(2, 3)]);
    assert_eq!(bench.running(), [0, 1, 2]);
    let mut outage = suspect_bench();
    outage.poll(&[(10, 1), (11, 2)]);
    for _ in 0..3 {
        let offset = outage.running()[0];
        outage.finish(offset, Attempt::Failed { class: Class::Systemic(database.clone()), code: 1 });
        outage.pass(milliseconds(10));
    }
    assert!(outage.running().is_empty() && outage.engine.open_circuits().next().is_some());
    assert_eq!((outage.map().running, outage.map().dirty), (None, 0));
    outage.engine.probed(outage.now, &database, true);
    outage.settle();
    for _ in 0..2 {
        assert_eq!(outage.running().len(), 1);
        let offset = outage.running()[0];
        outage.finish(offset, Attempt::Succeeded);
    }
    assert_eq!(outage.position(), 12);
}

#[test]
fn a_suspect_that_waited_when_its_dependency_went_down_runs_when_it_is_back() {
    let database = Dependency::new("database");
    let mut bench = suspect_bench();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_of(P1, vec![arrival(0, 1), arrival(1, 2), arrival(2, 3)]);
    bench.poll(&[(10, 1)]);
    for offset in 0..3 {
        bench.finish(offset, Attempt::Failed { class: Class::Systemic(database.clone()), code: 1 });
    }
    assert!(bench.running().is_empty(), "neither the suspect nor anything else");
    bench.engine.probed(bench.now, &database, true);
    bench.pass(milliseconds(10));
    while let Some(offset) = bench.running().first().copied() {
        bench.finish(offset, Attempt::Succeeded);
    }
    assert_eq!((bench.position(), bench.engine.census().processed), (11, 4));
}

#[test]
fn the_end_of_a_suspect_partition_ends_its_probation() {
    let mut bench = suspect_bench();
    bench.poll(&[(10, 1)]);
    bench.finish(10, Attempt::Succeeded);
    bench.engine.reached_end(bench.now, P0, bench.epochs[&P0], NextOffset(11));
    bench.settle();
    bench.pass(milliseconds(100));
    assert_eq!(bench.map().dirty, 1);
    bench.poll(&[(11, 1), (12, 2), (13, 3)]);
    assert_eq!(bench.running(), [11, 12, 13]);
}

fn to_first(offset: &i64) -> Rerouted<i64> {
    let lane = offset.cast_unsigned();
    Rerouted { verdict: Verdict::Routed { route: RouteId(0), lane }, payload: *offset }
}

#[test]
fn a_suspect_that_runs_stays_named_and_alone_however_often_the_routes_change() {
    let mut bench = suspect_bench();
    bench.poll(&[(10, 1), (11, 2), (12, 3)]);
    bench.finish(10, Attempt::Succeeded);
    assert_eq!(bench.running(), [11]);
    for _ in 0..3 {
        bench.engine.reroute(bench.now, vec![route()], to_first);
        bench.settle();
        bench.pass(milliseconds(200));
        assert_eq!((bench.running(), bench.map().running), (vec![11], Some(Offset(11))));
    }
    bench.finish(11, Attempt::Succeeded);
    assert_eq!(bench.running(), [12]);
}

#[test]
fn a_suspect_that_no_route_takes_any_more_is_not_named_as_the_one_that_runs() {
    let mut bench = suspect_bench();
    let due = bench.now + Duration::from_secs(60);
    bench.holds_commits = true;
    bench.poll_arrivals(vec![Arrival { not_before: Some(due), ..arrival(10, 1) }, arrival(11, 2)]);
    // Its announcement is on its way.
    assert!(bench.running().is_empty() && bench.held_commit.is_some());
    let look = |offset: &i64| match offset {
        11 => Rerouted { verdict: Verdict::Unrecognised, payload: 11 },
        offset => to_first(offset),
    };
    bench.engine.reroute(bench.now, vec![route()], look);
    bench.settle();
    bench.holds_commits = false;
    bench.end_commit(true);
    bench.pass(milliseconds(200));
    assert_eq!((bench.position(), bench.map().resolved, bench.map().running), (10, ranges(&[(11, 12)]), None));
}

#[test]
fn what_waits_for_a_suspect_says_so_in_whichever_partition_it_is() {
    let mut bench = suspect_bench();
    bench.assign(&assignment(P1, 0, ""));
    bench.poll_of(P1, vec![arrival(0, 1)]);
    bench.poll(&[(10, 1), (11, 2)]);
    bench.poll_of(P1, vec![arrival(1, 2)]);
    let waits = |bench: &Bench, id: PartitionId, expected: Offset| {
        let inspection = bench.engine.inspect().into_iter().find(|inspection| inspection.partition == id).unwrap();
        inspection.reasons.iter().any(|reason| reason.hold == Hold::Alone && reason.offset == Some(expected))
    };
    assert!(waits(&bench, P0, Offset(10)) && waits(&bench, P1, Offset(1)), "{:?}", bench.engine.inspect());
    bench.lose(&[P0]);
    assert!(!waits(&bench, P1, Offset(1)), "{:?}", bench.engine.inspect());
}
