//! Single stories, told step by step. Every invariant is checked in them as in the seeds.

use std::time::Duration;

use coafi_core::engine::{Dependency, PartitionId, Verdict};
use coafi_core::event::NextOffset;

use crate::faults::{self, Fault};
use crate::handlers::{Behaviour, Origin, SHOP};
use crate::profile::Profile;
use crate::random::Random;
use crate::simulation::Simulation;
use crate::world::Publication;

/// A running replica, or several, that have nothing to do yet.
pub(crate) fn ready(profile: Profile) -> Simulation {
    let mut simulation = Simulation::new(profile, Random::new(1));
    simulation.world.trace.on = true;
    simulation.until("the partitions are assigned", |simulation| {
        simulation.world.broker.partitions().all(|partition| holder(simulation, partition).is_some())
    });
    simulation
}

pub(crate) fn holder(simulation: &Simulation, partition: PartitionId) -> Option<usize> {
    simulation
        .processes
        .iter()
        .position(|process| process.as_ref().is_some_and(|process| process.held.contains_key(&partition)))
}

pub(crate) fn running(simulation: &Simulation, record: Origin) -> bool {
    simulation.processes.iter().flatten().flat_map(|process| process.running()).any(|job| job.payload.origin == record)
}

pub(crate) fn publish_each(
    simulation: &mut Simulation,
    keys: std::ops::Range<u64>,
    behaviour: Behaviour,
) -> Vec<Origin> {
    keys.map(|key| simulation.publish(key as u32, key, behaviour)).collect()
}

pub(crate) fn ended(simulation: &Simulation, end: &str) -> u64 {
    simulation.world.truth.ended.get(end).copied().unwrap_or(0)
}

fn outage(simulation: &mut Simulation, dependency: &str) {
    simulation.world.services.goes_down(&Dependency::new(dependency));
}

fn recovery(simulation: &mut Simulation, dependency: &str) {
    simulation.world.services.comes_back(&Dependency::new(dependency));
}

pub(crate) const A_MOMENT: Duration = Duration::from_millis(100);

#[test]
fn a_slow_head_holds_up_nobody_and_a_crash_redoes_nothing_that_is_resolved() {
    let mut simulation = ready(Profile::quiet());
    let head = simulation.publish(100, 0, Behaviour::Hang { failures: 1 });
    let others = publish_each(&mut simulation, 1..10, Behaviour::Succeed);
    simulation
        .until("the others are done", |simulation| others.iter().all(|other| simulation.end_of(*other).is_some()));
    assert_eq!(simulation.end_of(head), None);
    simulation.crash(0, A_MOMENT);
    simulation.settle();
    assert!(others.iter().all(|other| simulation.starts_of(*other) == 1));
    assert_eq!((simulation.end_of(head), simulation.starts_of(head)), (Some("processed"), 3));
}

#[test]
fn runnable_heads_start_in_the_step_in_which_they_arrive() {
    let mut simulation = ready(Profile::quiet());
    let records = publish_each(&mut simulation, 0..10, Behaviour::Slow);
    let held = |simulation: &Simulation| simulation.processes[0].as_ref().and_then(|process| process.custody.held());
    simulation.until("all have arrived", |simulation| held(simulation) == Some(10));
    let arrived = simulation.world.now;
    simulation.until("all run", |simulation| records.iter().all(|record| running(simulation, *record)));
    assert_eq!(simulation.world.now, arrived);
}

#[test]
fn attempts_of_a_parked_record_survive_a_crash() {
    let mut simulation = ready(Profile::quiet());
    let record = simulation.publish(1, 1, Behaviour::Transient { failures: 2 });
    simulation.until("it is parked again", |simulation| ended(simulation, "retry in place") == 2);
    simulation.crash(0, A_MOMENT);
    simulation.settle();
    assert_eq!((simulation.end_of(record), ended(&simulation, "retry in place")), (Some("processed"), 2));
    assert_eq!(simulation.starts_of(record), 3);
}

#[test]
fn a_revoked_partition_finishes_what_runs() {
    let mut simulation = ready(Profile { sources: 2, ..Profile::quiet() });
    let records = publish_each(&mut simulation, 0..2, Behaviour::Slow);
    simulation.until("both run", |simulation| records.iter().all(|record| running(simulation, *record)));
    simulation.scale_up();
    simulation.until("a partition has moved", |simulation| {
        simulation.world.broker.partitions().any(|partition| holder(simulation, partition) == Some(1))
    });
    simulation.settle();
    assert!(records.iter().all(|record| simulation.starts_of(*record) == 1));
}

#[test]
fn what_outlives_the_drain_timeout_is_cancelled_and_uses_no_attempt() {
    let mut profile = Profile { sources: 2, ..Profile::quiet() };
    profile.settings.drain_timeout = Duration::from_millis(20);
    let mut simulation = ready(profile);
    let records = publish_each(&mut simulation, 0..2, Behaviour::Hang { failures: 1 });
    simulation.until("both run", |simulation| records.iter().all(|record| running(simulation, *record)));
    simulation.scale_up();
    simulation.settle();
    // The one that moved was started once more; both failed once, by their deadline.
    let starts: u32 = records.iter().map(|record| simulation.starts_of(*record)).sum();
    assert_eq!((starts, ended(&simulation, "retry in place"), ended(&simulation, "processed")), (5, 2, 2));
}

#[test]
fn what_a_lost_partition_had_running_counts_for_nothing() {
    let mut simulation = ready(Profile::quiet());
    let record = simulation.publish(1, 1, Behaviour::Slow);
    simulation.until("it runs", |simulation| running(simulation, record));
    simulation.evict(0);
    simulation.settle();
    assert_eq!((simulation.end_of(record), simulation.starts_of(record)), (Some("processed"), 2));
}

#[test]
fn an_aborted_commit_runs_no_handler_again() {
    let mut simulation = ready(Profile::quiet());
    simulation.with(0, |process| process.aborts_ahead = 4);
    let records = publish_each(&mut simulation, 0..8, Behaviour::Succeed);
    simulation.settle();
    assert!(records.iter().all(|record| simulation.starts_of(*record) == 1));
}

#[test]
fn a_commit_of_unknown_outcome_is_resolved_by_what_is_committed() {
    let mut simulation = ready(Profile::quiet());
    for round in 0..12 {
        simulation.with(0, |process| process.lost_answers_ahead = 2);
        let records = publish_each(&mut simulation, round * 4..round * 4 + 4, Behaviour::Transient { failures: 1 });
        simulation.settle();
        assert!(records.iter().all(|record| simulation.starts_of(*record) == 2));
    }
}

#[test]
fn a_circuit_opens_escalates_and_closes_and_no_attempt_is_used() {
    let mut profile = Profile::quiet();
    profile.routes[0].dependencies = vec![Dependency::new(Dependency::DATABASE)];
    let mut simulation = ready(profile);
    outage(&mut simulation, Dependency::DATABASE);
    let records = publish_each(&mut simulation, 0..20, Behaviour::Succeed);
    simulation.pass(Duration::from_secs(5));
    assert!(records.iter().all(|record| simulation.end_of(*record).is_none()));
    let starts: u32 = records.iter().map(|record| simulation.starts_of(*record)).sum();
    assert!(starts <= 40, "{starts} starts in an outage");
    recovery(&mut simulation, Dependency::DATABASE);
    simulation.settle();
    assert_eq!((ended(&simulation, "processed"), ended(&simulation, "retry in place")), (20, 0));
    assert_eq!(ended(&simulation, "escalated outage"), 1);
}

#[test]
fn the_same_error_across_keys_is_an_outage() {
    let mut simulation = ready(Profile::quiet());
    outage(&mut simulation, Dependency::ARTIFACTS);
    publish_each(&mut simulation, 0..12, Behaviour::SameError);
    simulation.pass(Duration::from_secs(5));
    recovery(&mut simulation, Dependency::ARTIFACTS);
    simulation.settle();
    assert_eq!(ended(&simulation, "processed"), 12);
}

/// A server that only some records need is away: the others of their route go on, and a death beside it is counted. Behind a
/// record that waits, its key waits.
#[test]
fn what_is_down_and_not_declared_holds_only_what_needs_it() {
    let mut simulation = ready(Profile::quiet());
    outage(&mut simulation, SHOP);
    let need_it = publish_each(&mut simulation, 0..6, Behaviour::AsksTheShop);
    let behind = simulation.publish(50, 0, Behaviour::Succeed);
    simulation.pass(Duration::from_secs(5));
    let others = publish_each(&mut simulation, 10..20, Behaviour::Succeed);
    simulation.until("the others are handled", |simulation| {
        others.iter().all(|record| simulation.end_of(*record) == Some("processed"))
    });
    simulation.pass(Duration::from_secs(5));
    let starts: u32 = need_it.iter().map(|record| simulation.starts_of(*record)).sum();
    // Two or three to find out, and one in every three seconds to see whether it is still wanted.
    assert!((12..=48).contains(&starts), "{starts} starts of 6 records");
    assert_eq!((simulation.starts_of(behind), ended(&simulation, "escalated outage")), (0, 1));
    recovery(&mut simulation, SHOP);
    simulation.settle();
    assert_eq!((ended(&simulation, "processed"), ended(&simulation, "retry in place")), (17, 0));
}

#[test]
fn keys_that_all_fail_alike_are_held_and_people_are_told_once() {
    let mut simulation = ready(Profile::quiet());
    outage(&mut simulation, Dependency::ARTIFACTS);
    let records = publish_each(&mut simulation, 0..6, Behaviour::SameError);
    simulation.pass(Duration::from_secs(50));
    assert!(records.iter().all(|record| simulation.end_of(*record).is_none()));
    assert_eq!((ended(&simulation, "retry in place"), ended(&simulation, "escalated outage")), (0, 1));
}

#[test]
fn keys_that_fail_alike_while_others_of_their_route_succeed_are_no_outage_for_ever() {
    let mut simulation = ready(Profile::quiet());
    outage(&mut simulation, Dependency::ARTIFACTS);
    let failing = publish_each(&mut simulation, 0..6, Behaviour::SameError);
    let mut good = Vec::new();
    for event in 100..500 {
        good.push(simulation.publish(event, u64::from(event), Behaviour::Succeed));
        simulation.pass(A_MOMENT);
    }
    assert!(good.iter().all(|record| simulation.end_of(*record) == Some("processed")));
    let held = failing.iter().filter(|record| simulation.end_of(**record).is_none()).count();
    assert_eq!(held, 0, "their attempts are used up, by policy");
}

#[test]
fn a_burst_of_poison_holds_up_nobody() {
    let mut simulation = ready(Profile::quiet());
    for event in 0..300 {
        let (partition, verdict) = (PartitionId(0), Verdict::Poison);
        let behaviour = Behaviour::Succeed;
        simulation.world.publish(Publication::Record { partition, event, key: 0, behaviour, verdict, bytes: 50 });
    }
    let good = simulation.publish(1000, 0, Behaviour::Succeed);
    simulation.settle();
    assert_eq!((simulation.end_of(good), ended(&simulation, "dead letter: poison")), (Some("processed"), 300));
}

#[test]
fn a_record_that_kills_its_process_is_found_and_the_others_go_on() {
    let mut simulation = ready(Profile { sources: 2, ..Profile::quiet() });
    let before = publish_each(&mut simulation, 0..4, Behaviour::Succeed);
    let killer = simulation.publish(100, 0, Behaviour::Kill { times: 50 });
    let after = publish_each(&mut simulation, 4..12, Behaviour::Succeed);
    simulation.settle();
    assert_eq!(simulation.end_of(killer), Some("dead letter: crash"));
    assert!(before.iter().chain(&after).all(|record| simulation.end_of(*record) == Some("processed")));
    let settings = &simulation.world.profile.settings;
    assert!(simulation.starts_of(killer) <= settings.suspect_after + settings.crash_deaths);
}

#[test]
fn a_deploy_loop_in_an_outage_condemns_nobody() {
    let mut profile = Profile::quiet();
    profile.routes[0].dependencies = vec![Dependency::new(Dependency::DATABASE)];
    let mut simulation = ready(profile);
    outage(&mut simulation, Dependency::DATABASE);
    publish_each(&mut simulation, 0..10, Behaviour::Succeed);
    for _ in 0..8 {
        simulation.pass(Duration::from_secs(5));
        simulation.crash(0, A_MOMENT);
    }
    recovery(&mut simulation, Dependency::DATABASE);
    simulation.settle();
    assert_eq!((ended(&simulation, "processed"), ended(&simulation, "dead letter: crash")), (10, 0));
}

#[test]
fn the_end_of_a_partition_moves_the_position_over_markers() {
    let mut simulation = ready(Profile::quiet());
    simulation.publish(1, 1, Behaviour::Succeed);
    for _ in 0..5 {
        simulation.world.publish(Publication::Gap { partition: PartitionId(0) });
    }
    simulation.settle();
    assert_eq!(simulation.world.broker.last_committed(PartitionId(0)).position, NextOffset(6));
}

#[test]
fn foreign_metadata_is_ignored_and_the_position_counts() {
    let mut simulation = ready(Profile::quiet());
    let before = publish_each(&mut simulation, 0..4, Behaviour::Succeed);
    simulation.settle();
    simulation.crash(0, A_MOMENT);
    let (partition, position) = (PartitionId(0), NextOffset(4));
    let metadata = "{\"consumer\":\"somebody else's\"}".to_owned();
    simulation.world.broker.commit_by_a_stranger(partition, position, metadata);
    let after = publish_each(&mut simulation, 4..8, Behaviour::Succeed);
    simulation.settle();
    assert!(before.iter().chain(&after).all(|record| simulation.starts_of(*record) == 1));
}

#[test]
fn a_redelivery_is_no_duplicate_and_a_second_publication_is_one() {
    let mut simulation = ready(Profile::quiet());
    let record = simulation.publish(1, 1, Behaviour::Slow);
    simulation.until("it runs", |simulation| running(simulation, record));
    simulation.crash(0, A_MOMENT);
    simulation.until("it runs again", |simulation| running(simulation, record));
    let again = simulation.publish(1, 1, Behaviour::Slow);
    simulation.settle();
    assert_eq!((simulation.end_of(record), simulation.end_of(again)), (Some("processed"), Some("duplicate")));
}

#[test]
fn a_zombie_commits_nothing() {
    let mut simulation = ready(Profile { sources: 2, replicas: 2, ..Profile::quiet() });
    let records = publish_each(&mut simulation, 0..8, Behaviour::Slow);
    simulation.until("all lanes run", |simulation| records.iter().any(|record| running(simulation, *record)));
    faults::apply(&mut simulation, Fault::Freeze { slot: 0, lasts: Duration::from_secs(9) });
    simulation.settle();
    simulation.pass(Duration::from_secs(12));
    assert_eq!(ended(&simulation, "processed"), 8);
}

#[test]
fn lost_offsets_are_reported_and_the_rest_is_handled() {
    let mut simulation = ready(Profile::quiet());
    simulation.crash(0, Duration::from_secs(1));
    let records = publish_each(&mut simulation, 0..10, Behaviour::Succeed);
    faults::apply(&mut simulation, Fault::Retention { partition: PartitionId(0), beyond: 4, owner_is_down: true });
    simulation.settle();
    assert!(records[..4].iter().all(|record| simulation.end_of(*record).is_none()));
    assert_eq!((ended(&simulation, "lost"), ended(&simulation, "processed")), (1, 6));
}
