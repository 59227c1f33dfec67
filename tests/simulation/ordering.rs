//! Stories of one key's order: through retries, full windows, restarts and rebalances. Checked in them as in the seeds: I3,
//! I6, and that nothing runs before it is due.

use std::time::Duration;

use coafi_core::engine::retry::Backoff;
use coafi_core::engine::{Ordering, Overflow, PartitionId};

use crate::handlers::{Behaviour, Origin};
use crate::profile::{self, Profile};
use crate::scenarios::{A_MOMENT, ended, holder, publish_each, ready};
use crate::simulation::Simulation;

/// Offsets that fit into the offset map of [`narrow`]: a bit each.
const WINDOW: u64 = 32;

/// A quiet world whose broker keeps hardly any metadata, so that a few offsets fill the window.
fn narrow(overflow: Overflow) -> Profile {
    let mut profile = Profile::quiet();
    profile.settings.max_metadata_bytes = profile::metadata_bytes(profile.settings.max_parked, WINDOW as usize / 8);
    profile.routes[0].overflow = overflow;
    // Long enough for the window to fill up behind a parked head.
    profile.routes[0].retry.backoff = Backoff { initial: Duration::from_secs(5), cap: Duration::from_secs(5) };
    profile
}

fn with_retry_topic(mut profile: Profile) -> Profile {
    profile.tiers = vec![Duration::from_millis(300)];
    profile.routes[0].retry.tiers = profile.tiers.clone();
    profile
}

/// A head that fails, the next record of its key, and other keys: more of them than the window holds.
fn a_failing_head_and_others(simulation: &mut Simulation, behaviour: Behaviour) -> (Origin, Origin, Vec<Origin>) {
    let head = simulation.publish(1000, 0, behaviour);
    let next = simulation.publish(1001, 0, Behaviour::Succeed);
    let others = publish_each(simulation, 1..3 * WINDOW, Behaviour::Succeed);
    (head, next, others)
}

fn all_processed(simulation: &Simulation, records: &[Origin]) -> bool {
    records.iter().all(|record| simulation.end_of(*record) == Some("processed"))
}

#[test]
fn a_failing_head_parks_in_place_its_key_waits_and_others_go_on() {
    let mut simulation = ready(Profile::quiet());
    let (head, next, others) = a_failing_head_and_others(&mut simulation, Behaviour::Transient { failures: 2 });
    simulation.until("the others are done", |simulation| all_processed(simulation, &others));
    assert_eq!((simulation.end_of(head), simulation.end_of(next), simulation.starts_of(next)), (None, None, 0));
    simulation.settle();
    assert_eq!((simulation.starts_of(head), simulation.starts_of(next)), (3, 1));
    assert!(all_processed(&simulation, &[head, next]));
}

#[test]
fn a_parked_head_takes_its_attempts_along_through_rebalances_and_restarts() {
    let mut simulation = ready(Profile { sources: 2, ..Profile::quiet() });
    let head = simulation.publish(1000, 0, Behaviour::Transient { failures: 2 });
    let next = simulation.publish(1001, 0, Behaviour::Succeed);
    let others = publish_each(&mut simulation, 1..9, Behaviour::Succeed);
    simulation.until("it is parked", |simulation| ended(simulation, "retry in place") == 1);
    simulation.scale_up();
    simulation.until("a partition has moved", |simulation| {
        simulation.world.broker.partitions().any(|partition| holder(simulation, partition) == Some(1))
    });
    (0..2).for_each(|slot| simulation.crash(slot, A_MOMENT));
    simulation.settle();
    assert_eq!(ended(&simulation, "retry in place"), 2, "three attempts in all");
    assert!(simulation.starts_of(head) <= 4, "and one that died");
    assert_eq!(simulation.starts_of(next), 1);
    assert!(all_processed(&simulation, &[head, next]) && all_processed(&simulation, &others));
    assert!(others.iter().all(|other| simulation.starts_of(*other) <= 2));
}

#[test]
fn a_full_window_waits_for_a_head_that_runs_and_goes_on_after_it() {
    let mut simulation = ready(narrow(Overflow::DeadLetter));
    let (head, next, others) = a_failing_head_and_others(&mut simulation, Behaviour::Slow);
    simulation.until("the window is full", window_is_full);
    let within = others.iter().filter(|other| simulation.end_of(**other).is_some()).count() as u64;
    assert!(within < WINDOW, "{within} are done besides the head and the one behind it");
    simulation.settle();
    assert!(all_processed(&simulation, &[head, next]) && all_processed(&simulation, &others));
}

fn window_is_full(simulation: &Simulation) -> bool {
    simulation.processes.iter().flatten().any(|process| process.engine.window_is_full(PartitionId(0)))
}

#[test]
fn what_the_window_cannot_hold_moves_to_the_retry_topic() {
    let mut simulation = ready(with_retry_topic(narrow(Overflow::RetryTopic)));
    let (head, next, others) = a_failing_head_and_others(&mut simulation, Behaviour::Transient { failures: 2 });
    simulation.settle();
    assert_eq!(simulation.end_of(head), Some("retry topic"), "{}", simulation.trace());
    assert!(all_processed(&simulation, &[next]) && all_processed(&simulation, &others));
    assert_eq!((ended(&simulation, "retry topic"), ended(&simulation, "processed")), (1, 2 + others.len() as u64));
    assert_eq!(simulation.starts_of(head), 3, "its attempts went along");
}

#[test]
fn what_the_window_cannot_hold_is_dead_lettered() {
    for ordering in [Ordering::Key, Ordering::Strict] {
        let mut profile = narrow(Overflow::DeadLetter);
        profile.routes[0].ordering = ordering;
        let mut simulation = ready(profile);
        let (head, next, others) = a_failing_head_and_others(&mut simulation, Behaviour::Transient { failures: 2 });
        simulation.settle();
        assert_eq!(simulation.end_of(head), Some("dead letter: transient"));
        assert!(simulation.starts_of(head) < 3, "it had attempts left");
        assert!(all_processed(&simulation, &[next]) && all_processed(&simulation, &others));
    }
}

#[test]
fn where_overflow_says_halt_what_the_window_cannot_hold_waits_for_the_head() {
    let mut simulation = ready(narrow(Overflow::Halt));
    let (head, next, others) = a_failing_head_and_others(&mut simulation, Behaviour::Transient { failures: 2 });
    simulation.until("the window is full", window_is_full);
    let done = others.iter().filter(|other| simulation.end_of(**other).is_some()).count() as u64;
    assert!(done < WINDOW, "{done} keys went on");
    simulation.settle();
    assert!(all_processed(&simulation, &[head, next]) && all_processed(&simulation, &others));
    assert_eq!((simulation.starts_of(head), ended(&simulation, "escalated halt")), (3, 0));
}

#[test]
fn where_overflow_says_halt_a_head_without_a_place_to_park_halts_and_people_are_told() {
    let mut profile = Profile::quiet();
    profile.routes[0].overflow = Overflow::Halt;
    profile.settings.max_parked = 1;
    let mut simulation = ready(profile);
    publish_each(&mut simulation, 0..3, Behaviour::Transient { failures: 9 });
    let others = publish_each(&mut simulation, 10..20, Behaviour::Succeed);
    simulation.pass(Duration::from_secs(10));
    assert!(all_processed(&simulation, &others));
    assert_eq!((ended(&simulation, "halted"), ended(&simulation, "escalated halt")), (2, 2));
}

#[test]
fn a_strict_route_retries_in_place_and_nowhere_else() {
    let mut profile = Profile::quiet();
    profile.routes[0].ordering = Ordering::Strict;
    profile.routes[0].overflow = Overflow::RetryTopic;
    profile.settings.max_parked = 1;
    let mut simulation = ready(profile);
    let failing = publish_each(&mut simulation, 0..4, Behaviour::Transient { failures: 2 });
    let after: Vec<_> = (0..4).map(|key| simulation.publish(100 + key as u32, key, Behaviour::Succeed)).collect();
    simulation.settle();
    assert_eq!(ended(&simulation, "retry topic"), 0);
    assert!(ended(&simulation, "dead letter: transient") > 0, "what found no place");
    assert!(failing.iter().all(|record| simulation.end_of(*record).is_some()));
    assert!(all_processed(&simulation, &after));
}
