//! Stories of what others do to a group: strangers that commit its offsets, retention, partitions that are added, clocks.

use std::time::Duration;

use coafi_core::engine::PartitionId;
use coafi_core::event::NextOffset;

use crate::faults::{self, Fault, Stray};
use crate::handlers::Behaviour;
use crate::profile::{Mode, Profile};
use crate::scenarios::{A_MOMENT, ended, publish_each, ready, running};
use crate::simulation::Simulation;

const PARTITION: PartitionId = PartitionId(0);

/// A slow head and nine records of other keys, which are done and committed: the offset map names them.
fn with_a_map() -> (Simulation, Vec<crate::handlers::Origin>) {
    let mut simulation = ready(Profile::quiet());
    let head = simulation.publish(100, 0, Behaviour::Hang { failures: 1 });
    let mut records = publish_each(&mut simulation, 1..10, Behaviour::Succeed);
    simulation.until("the others are committed", |simulation| {
        records.iter().all(|record| simulation.end_of(*record).is_some())
    });
    records.insert(0, head);
    (simulation, records)
}

#[test]
fn a_map_of_ours_at_another_position_is_ignored() {
    let (mut simulation, records) = with_a_map();
    let committed = simulation.world.broker.last_committed(PARTITION);
    simulation.crash(0, A_MOMENT);
    simulation.world.broker.commit_by_a_stranger(PARTITION, NextOffset(4), committed.metadata);
    simulation.settle();
    let starts: Vec<_> = records.iter().map(|record| simulation.starts_of(*record)).collect();
    assert_eq!(starts, [1, 1, 1, 1, 2, 2, 2, 2, 2, 2], "passed over below it, handled again above it");
}

#[test]
fn an_operator_s_reset_handles_everything_after_it_again() {
    let (mut simulation, records) = with_a_map();
    simulation.settle();
    faults::apply(&mut simulation, Fault::SetOffset { partition: PARTITION, stray: Stray::Plain(50), down: A_MOMENT });
    simulation.until("an owner begins from it", |simulation| {
        !simulation.world.broker.last_committed(PARTITION).by_a_stranger
    });
    simulation.settle();
    let starts: Vec<_> = records.iter().map(|record| simulation.starts_of(*record)).collect();
    assert_eq!(starts, [2, 1, 1, 1, 1, 2, 2, 2, 2, 2], "the head failed once at first");
    assert_eq!(simulation.world.broker.last_committed(PARTITION).position, NextOffset(10));
}

#[test]
fn a_commit_by_a_member_that_does_not_own_the_partition_is_undone_by_the_owner_s_next() {
    let (mut simulation, records) = with_a_map();
    simulation.settle();
    simulation.world.broker.commit_by_a_stranger(PARTITION, NextOffset(2), String::new());
    let more = publish_each(&mut simulation, 20..24, Behaviour::Succeed);
    simulation.until("the owner has committed", |simulation| {
        simulation.world.broker.last_committed(PARTITION).position == NextOffset(14)
    });
    simulation.crash(0, A_MOMENT);
    simulation.settle();
    assert!(records[1..].iter().chain(&more).all(|record| simulation.starts_of(*record) == 1));
}

#[test]
fn retention_that_passes_a_reader_is_reported_and_the_reader_goes_on() {
    let mut simulation = ready(Profile::quiet());
    faults::apply(&mut simulation, Fault::Freeze { slot: 0, lasts: Duration::from_secs(2) });
    let records = publish_each(&mut simulation, 0..10, Behaviour::Succeed);
    faults::apply(&mut simulation, Fault::Retention { partition: PARTITION, beyond: 4, owner_is_down: false });
    simulation.settle();
    assert!(records[..4].iter().all(|record| simulation.end_of(*record).is_none()));
    assert_eq!((ended(&simulation, "lost"), ended(&simulation, "processed")), (1, 6));
    assert_eq!(ended(&simulation, "escalated loss"), 1);
}

#[test]
fn what_was_resolved_before_retention_took_it_is_not_lost() {
    let (mut simulation, _) = with_a_map();
    simulation.crash(0, A_MOMENT);
    faults::apply(&mut simulation, Fault::Retention { partition: PARTITION, beyond: 8, owner_is_down: true });
    simulation.settle();
    assert_eq!((ended(&simulation, "lost"), ended(&simulation, "processed")), (1, 9), "only the head is");
}

#[test]
fn a_transaction_that_timed_out_is_done_again_by_a_new_producer() {
    let mut simulation = ready(Profile::quiet());
    let slow = simulation.publish(0, 0, Behaviour::Slow);
    let quick = simulation.publish(1, 1, Behaviour::Succeed);
    simulation.until("one runs, and the other's outcome is in a transaction", |simulation| {
        let staged = simulation.processes[0].as_ref().is_some_and(|process| process.staged.len() == 1);
        staged && running(simulation, slow)
    });
    faults::apply(&mut simulation, Fault::Freeze { slot: 0, lasts: Duration::from_secs(8) });
    simulation.settle();
    assert_eq!((simulation.end_of(slow), simulation.end_of(quick)), (Some("processed"), Some("processed")));
    assert!(simulation.world.sightings.contains_key("a transaction timed out"));
}

#[test]
fn a_partition_that_is_added_is_read_from_its_beginning() {
    let mut simulation = ready(Profile { replicas: 2, ..Profile::quiet() });
    faults::apply(&mut simulation, Fault::AddPartition { records: 12 });
    simulation.pass(Duration::from_secs(2));
    simulation.settle();
    assert_eq!(ended(&simulation, "processed"), 12);
}

#[test]
fn a_clock_that_leaps_makes_what_is_parked_due_and_costs_nothing() {
    let mut profile = Profile::quiet();
    profile.routes[0].retry.backoff.initial = Duration::from_secs(3600);
    profile.routes[0].retry.backoff.cap = Duration::from_secs(3600);
    let mut simulation = ready(profile);
    let record = simulation.publish(0, 0, Behaviour::Transient { failures: 2 });
    for retries in 1..=2 {
        simulation.until("it is parked", |simulation| ended(simulation, "retry in place") == retries);
        faults::apply(&mut simulation, Fault::ClockLeap { slot: 0, by: Duration::from_secs(3600) });
    }
    simulation.settle();
    assert_eq!((simulation.end_of(record), simulation.starts_of(record)), (Some("processed"), 3));
}

/// The replica ends, is started again, ends again, until somebody mends what it says; then everything is handled, and nothing
/// whose commit was refused counts.
#[test]
fn brokers_that_take_less_metadata_end_the_replica_and_nothing_is_lost() {
    for mode in [Mode::Transactional, Mode::AtLeastOnce] {
        let mut simulation = ready(Profile { mode, ..Profile::quiet() });
        simulation.world.broker.set_metadata_max_bytes(Some(0));
        let records = publish_each(&mut simulation, 0..10, Behaviour::Succeed);
        simulation.until("it has ended twice", |simulation| {
            simulation.world.sightings.get("metadata was refused").is_some_and(|times| *times >= 2)
        });
        let ends = records.iter().filter(|record| simulation.end_of(**record).is_some()).count();
        assert_eq!(simulation.world.broker.last_committed(PARTITION).position, NextOffset(0), "{mode:?}");
        assert!(mode == Mode::AtLeastOnce || ends == 0, "{ends} outcomes without their offsets");
        simulation.world.broker.set_metadata_max_bytes(None);
        simulation.settle();
        assert!(records.iter().all(|record| simulation.end_of(*record) == Some("processed")), "{mode:?}");
        assert_eq!(simulation.world.broker.last_committed(PARTITION).position, NextOffset(10), "{mode:?}");
    }
}
