//! `coafi replay`: recorded events are handled again, and the live group does not notice.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::journal::Outcome;
use crate::process::{Process, eventually};
use crate::topic::{Positions, ends, read};
use crate::world::World;

const EFFECTS: &str = "SELECT count(*) FROM registry_history";

/// Pushes under different keys, each handled by the live group.
fn handled(world: &World, events: usize) {
    for number in 0..events {
        world.send(&world.push(&format!("key-{number}")));
    }
    world.consume();
    assert_eq!(world.outcomes().len(), events);
}

fn replay(world: &World, arguments: &[&str]) -> Process {
    let topic = world.topic.clone();
    let all = [&["replay", "--topic", &topic, "--output", "json"], arguments].concat();
    Process::start(world.command(&all))
}

/// The exit code, and what it says.
fn ended(replay: Process) -> (Option<i32>, Value) {
    let ended = replay.ended();
    let said = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    (ended.code(), said)
}

fn outcomes_of(world: &World, name: &str) -> Vec<Outcome> {
    world.outcomes_of(&format!("{}.replay.{name}", world.group))
}

#[test]
fn a_replay_handles_anew_beside_the_live_group() {
    let world = World::new("replay");
    handled(&world, 6);
    let (effects, committed) = (world.database.number(EFFECTS), world.committed());
    let mut live = world.replica();
    live.until_ready();

    let (code, said) = ended(replay(&world, &["--effects", "--name", "again"]));
    assert_eq!((code, &said["complete"], &said["same"]), (Some(0), &true.into(), &6.into()), "{said}");
    assert_eq!(said["outcomes"]["processed"], 6, "{said}");
    assert_eq!(world.database.number(EFFECTS), effects + 6, "effects are real, and made again");
    assert_eq!(world.committed(), committed, "the live group's offsets");

    world.send(&world.push("later"));
    assert_eq!(world.until_ended(7).len(), 7, "the live group goes on where it was");
    assert_eq!(outcomes_of(&world, "again").len(), 6);
    live.terminate();
    assert_eq!(live.ended().code(), Some(0));
}

#[test]
fn an_isolated_replay_leaves_only_its_audit_and_shows_what_new_routes_change() {
    let world = World::new("isolated");
    handled(&world, 8);
    let everything = |world: &World| {
        let dead = ends(&world.stack.kafka, &format!("{}.dlq", world.topic));
        (world.database.number(EFFECTS), world.database.number("SELECT count(*) FROM inbox"), world.committed(), dead)
    };
    let before = everything(&world);

    let (code, said) = ended(replay(&world, &["--name", "same"]));
    assert_eq!((code, &said["same"]), (Some(0), &8.into()), "{said}");

    world.change_routes(|routes| {
        routes.replacen("handler: git_ref", "handler: git_ref\n    filter: data.branch == 'none'", 1)
    });
    let range = ["--from", "2", "--to", "5"];
    let (code, said) = ended(replay(&world, &[&["--isolated", "--name", "changed"], &range[..]].concat()));
    assert_eq!((code, &said["different"], &said["same"]), (Some(1), &3.into(), &0.into()), "{said}");
    let difference = &said["differences"][0];
    assert_eq!((&difference["offset"], &difference["replayed"]["outcome"]), (&2.into(), &"filtered".into()), "{said}");
    let offsets: Vec<i64> = outcomes_of(&world, "changed").iter().map(|outcome| outcome.offset).collect();
    assert_eq!(offsets.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([2, 3, 4]));
    assert_eq!(everything(&world), before);

    let decided = world.run(&["routes", "test", "--since", "1h", "--topic", &world.topic, "--output", "json"]);
    assert_eq!(decided.code(), Some(0), "against itself: {}{}", decided.stdout, decided.stderr);
}

#[test]
fn a_dry_run_says_how_many_and_which() {
    let world = World::new("dry");
    for number in 0..5 {
        world.send(&world.push(&format!("key-{number}")));
    }
    let say = |arguments: &[&str]| {
        let (code, said) = ended(replay(&world, &[&["--dry-run"], arguments].concat()));
        assert_eq!(code, Some(0), "{said}");
        let offsets = said["listed"].as_array().unwrap().iter().map(|listed| listed["offset"].as_i64().unwrap());
        (said["events"].as_u64().unwrap(), offsets.collect::<Vec<_>>())
    };
    assert_eq!(say(&[]), (5, vec![0, 1, 2, 3, 4]));
    assert_eq!(say(&["--from", "1", "--to", "3"]), (2, vec![1, 2]));
    assert_eq!(say(&["--key", "key-4", "--key", "key-0"]), (2, vec![0, 4]));
    assert_eq!(say(&["--type", "git.commit"]), (0, vec![]));
    assert_eq!(say(&["--filter", "data.forced == false && event.type == 'git.push'", "--from", "4"]), (1, vec![4]));
    assert_eq!(say(&["--from", "1h"]).0, 5);
    assert_eq!(say(&["--to", "1h"]).0, 0);
    assert!(world.outcomes().is_empty() && outcomes_of(&world, "x").is_empty());
    let both = replay(&world, &["--effects", "--isolated"]).ended();
    assert!(both.code() == Some(2) && both.stderr.contains("cannot be used with"), "{}", both.stderr);
    let refused = replay(&world, &["--from", "3", "--to", "1"]).ended();
    assert!(refused.code() == Some(2) && refused.stderr.contains("begins at 3, after its end 1"), "{}", refused.stderr);
}

#[test]
fn a_replay_that_is_killed_goes_on_under_its_name() {
    const EVENTS: usize = 60;
    let world = World::new("resumed");
    handled(&world, EVENTS);
    let arguments = ["--name", "killed", "--isolated"];
    let mut slow = replay(&world, &[&arguments[..], &["--rate", "5"]].concat());
    eventually("some events are replayed", || {
        assert!(slow.is_running(), "it ended: {}", slow.log());
        outcomes_of(&world, "killed").len() >= 5
    });
    slow.kill();
    drop(slow);
    assert!(outcomes_of(&world, "killed").len() < EVENTS, "it was killed before its end");

    let (code, said) = ended(replay(&world, &arguments));
    assert_eq!((code, &said["complete"], &said["same"]), (Some(0), &true.into(), &EVENTS.into()), "{said}");
    let offsets: Vec<i64> = outcomes_of(&world, "killed").iter().map(|outcome| outcome.offset).collect();
    assert_eq!((offsets.len(), offsets.into_iter().collect::<BTreeSet<_>>().len()), (EVENTS, EVENTS), "each once");
    assert_eq!(read(&world.stack.kafka, &world.topic, &Positions::new()).len(), EVENTS);
}
