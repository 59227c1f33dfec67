//! What the engine says of records that do not move.

use super::*;

fn reasons(bench: &Bench) -> Vec<(Hold, Option<i64>, u64)> {
    let [inspection] = &bench.engine.inspect()[..] else { panic!("one partition is assigned") };
    let shown = |reason: &Reason| (reason.hold.clone(), reason.offset.map(|offset| offset.0), reason.records);
    inspection.reasons.iter().map(shown).collect()
}

fn head(bench: &Bench) -> Option<i64> {
    bench.engine.inspect()[0].head.map(|offset| offset.0)
}

#[test]
fn a_partition_that_moves_has_no_reason() {
    let mut bench = Bench::new();
    assert_eq!((head(&bench), reasons(&bench)), (None, vec![]));
    bench.poll(&[(0, 1)]);
    bench.finish(0, Attempt::Succeeded);
    assert_eq!((head(&bench), reasons(&bench)), (None, vec![]));
}

#[test]
fn a_handler_holds_its_record_and_those_behind_it() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 1), (2, 2)]);
    assert_eq!(reasons(&bench), [(Hold::Handler, Some(0), 3)]);
    bench.finish(2, Attempt::Succeeded);
    assert_eq!(reasons(&bench), [(Hold::Handler, Some(0), 2), (Hold::Commit, Some(2), 1)]);
    bench.pass(settings().commit_interval);
    assert_eq!((head(&bench), reasons(&bench)), (Some(0), vec![(Hold::Handler, Some(0), 2)]));
}

#[test]
fn a_parked_record_says_when_it_is_due_and_after_which_attempt() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 1)]);
    bench.finish(0, Attempt::Failed { class: Class::Panic, code: 1 });
    let inspection = bench.engine.inspect().remove(0);
    let [parked] = &inspection.reasons[..] else { panic!("{inspection:?}") };
    assert_eq!((parked.offset, parked.attempts, parked.records), (Some(Offset(0)), 1, 2));
    let Hold::Parked { until: Some(until) } = parked.hold else { panic!("{parked:?}") };
    assert_eq!(bench.engine.next_wake(), Some(until));
}

#[test]
fn an_outage_is_named_with_its_beginning() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1), (1, 2), (2, 3), (3, 4)]);
    let (began, database) = (bench.now, Dependency::new("database"));
    for offset in 0..4 {
        bench.finish(offset, Attempt::Failed { class: Class::Systemic(database.clone()), code: 1 });
    }
    bench.pass(Duration::from_secs(1));
    let outage = Hold::Outage { dependency: database, since: began };
    assert_eq!(reasons(&bench), [(outage, Some(0), 4)]);
}

#[test]
fn a_doubt_is_a_reason_until_it_is_decided() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.finish(0, transient(5));
    assert_eq!(reasons(&bench), [(Hold::Undecided, Some(0), 1)]);
    bench.pass(Duration::from_secs(10));
    assert!(!reasons(&bench).iter().any(|(hold, ..)| *hold == Hold::Undecided), "{:?}", reasons(&bench));
}

#[test]
fn a_partition_that_is_taken_away_says_by_when_it_is_released() {
    let mut bench = Bench::new();
    bench.poll(&[(0, 1)]);
    bench.engine.revoked(bench.now, &[P0]);
    let until = bench.now + Duration::from_millis(1_001);
    assert_eq!(reasons(&bench), [(Hold::Draining { until }, None, 0), (Hold::Handler, Some(0), 1)]);
}

#[test]
fn what_waits_for_receipts_says_so() {
    let mut bench = Bench::new();
    bench.engine.records(bench.now, P0, bench.epochs[&P0], vec![arrival(0, 1)]);
    bench.settle();
    bench.finish(0, Attempt::Succeeded);
    bench.pass(Duration::from_secs(1));
    assert_eq!(reasons(&bench), [(Hold::Receipts, Some(0), 1)]);
    bench.engine.receipts_acknowledged(bench.now, P0, bench.epochs[&P0], NextOffset(1));
    bench.settle();
    assert_eq!(reasons(&bench), []);
}

#[test]
fn what_is_done_waits_for_the_ledger_while_that_is_down() {
    let mut bench = Bench::new();
    bench.engine.records(bench.now, P0, bench.epochs[&P0], vec![arrival(0, 1)]);
    bench.settle();
    bench.finish(0, Attempt::Succeeded);
    bench.pass(Duration::from_secs(1));
    let since = bench.now;
    bench.engine.ledger_answers(bench.now, false);
    let outage = Hold::Outage { dependency: Dependency::new(Dependency::LEDGER), since };
    assert_eq!(reasons(&bench), [(outage.clone(), Some(0), 1)], "and not for the commit");
    bench.settle();
    bench.end_abort();
    assert_eq!(reasons(&bench), [(outage, Some(0), 1)], "nor for the next one");
    bench.engine.ledger_answers(bench.now, true);
    bench.settle();
    bench.pass(settings().commit_interval);
    assert_eq!(reasons(&bench), [(Hold::Receipts, Some(0), 1)]);
}

#[test]
fn a_tenant_at_its_bounds_is_told_from_a_route_without_a_free_slot() {
    let tenant = TenantPolicy { concurrency: 1, quota: Some(TenantQuota { per_second: 1, burst: 1 }) };
    let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { tenant, concurrency: 2, ..route() }]);
    let of = |offset: i64, tenant: u64| {
        let lane = u64::try_from(offset).unwrap();
        Arrival { tenant, ..arrival(offset, lane) }
    };
    let began = bench.now;
    bench.poll_arrivals(vec![of(0, 1), of(1, 1), of(2, 1)]);
    assert_eq!(reasons(&bench), [(Hold::Handler, Some(0), 1), (Hold::Tenant { until: None }, Some(1), 2)]);
    assert_eq!(bench.engine.payload(P0, Offset(1)), Some(&1), "whose it is can be asked of it");
    bench.finish(0, Attempt::Succeeded);
    let until = Some(began + Duration::from_secs(1));
    assert!(reasons(&bench).contains(&(Hold::Tenant { until }, Some(1), 2)), "{:?}", reasons(&bench));
    bench.poll_arrivals(vec![of(3, 2), of(4, 3), of(5, 4)]);
    assert!(reasons(&bench).contains(&(Hold::Slot, Some(5), 1)), "{:?}", reasons(&bench));
}

#[test]
fn a_partition_that_is_not_polled_says_that_there_is_no_room() {
    let mut bench =
        Bench::with_routes(Settings { max_records: 30, ..settings() }, vec![RoutePolicy { concurrency: 1, ..route() }]);
    let records: Vec<_> = (0..25).map(|offset| (offset, 1)).collect();
    bench.poll(&records[..9]);
    assert!(!reasons(&bench).iter().any(|(hold, ..)| *hold == Hold::Room), "{:?}", reasons(&bench));
    bench.poll(&records[9..]);
    assert!(bench.has(|effect| matches!(effect, Effect::Pause(_))) && bench.engine.has_room());
    assert_eq!(reasons(&bench), [(Hold::Room, None, 0), (Hold::Handler, Some(0), 25)], "others are polled");
    bench.engine.revoked(bench.now, &[P0]);
    let given_up = reasons(&bench);
    assert!(!given_up.iter().any(|(hold, ..)| *hold == Hold::Room), "nothing more is to be polled of it: {given_up:?}");
}

#[test]
fn records_name_their_route_once_they_have_one_and_what_they_wait_for_until_then() {
    let with_routes = |bench: &Bench| -> Vec<(Hold, Option<i64>, Option<RouteId>)> {
        let [inspection] = &bench.engine.inspect()[..] else { panic!("one partition is assigned") };
        let shown = |reason: &Reason| (reason.hold.clone(), reason.offset.map(|offset| offset.0), reason.route);
        inspection.reasons.iter().map(shown).collect()
    };
    let mut rebuilding = Bench::unassigned(settings(), vec![route()]);
    rebuilding.assign(&Assignment { log_start: NextOffset(0), ..assignment(P0, 10, "") });
    rebuilding.poll(&[(10, 1), (11, 2)]);
    assert_eq!(with_routes(&rebuilding), [(Hold::Rebuilding, Some(10), None)]);
    rebuilding.engine.dedup_rebuilt(rebuilding.now, P0, rebuilding.epochs[&P0], &[]);
    rebuilding.settle();
    assert_eq!(with_routes(&rebuilding), [(Hold::Handler, Some(10), Some(RouteId(0)))]);

    let narrow = Settings { max_metadata_bytes: 467, max_run: 1, ..settings() };
    let mut full = Bench::with_routes(narrow, vec![route()]);
    let mut records: Vec<_> = (0..25_i64).map(|offset| arrival(offset, offset.cast_unsigned())).collect();
    records.push(Arrival { verdict: Verdict::Unrecognised, ..arrival(25, 25) });
    full.poll_arrivals(records);
    assert!(full.engine.window_is_full(P0));
    let window_full = |offset, route| (Hold::WindowFull, Some(offset), route);
    let handler = (Hold::Handler, Some(0), Some(RouteId(0)));
    assert_eq!(with_routes(&full), [handler, window_full(24, Some(RouteId(0))), window_full(25, None)]);
}

#[test]
fn a_record_that_may_not_begin_before_its_receipt_says_so() {
    let mut bench = Bench::with_routes(settings(), vec![RoutePolicy { write_ahead: true, ..route() }]);
    bench.engine.records(bench.now, P0, bench.epochs[&P0], vec![arrival(0, 1), arrival(1, 1)]);
    bench.settle();
    assert_eq!(reasons(&bench), [(Hold::Receipt, Some(0), 2)]);
    bench.engine.receipts_acknowledged(bench.now, P0, bench.epochs[&P0], NextOffset(2));
    bench.settle();
    assert_eq!(reasons(&bench), [(Hold::Handler, Some(0), 2)]);
}
