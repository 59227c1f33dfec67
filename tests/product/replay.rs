//! `coafi replay`: recorded events are handled again, and the live group does not notice.

use std::collections::BTreeSet;

use coafi_testcontainers::Kafka;
use serde_json::Value;

use crate::journal::{self, Outcome};
use crate::process::{Process, eventually};
use crate::stack::Stack;
use crate::topic::{Positions, delete, ends, read};
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
    let decided = world.run(&["routes", "test", "--since", "1h", "--topic", "nosuch"]);
    assert_eq!(decided.code(), Some(2), "what is not there is no difference: {}", decided.stderr);
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

#[test]
fn a_command_that_takes_a_replay_over_turns_the_first_one_out_which_says_so() {
    const EVENTS: usize = 200;
    let world = World::new("taken_over");
    handled(&world, EVENTS);
    let arguments = ["--name", "taken", "--rate", "1"];
    let begun = |replay: &mut Process, events: usize| {
        eventually("some events are replayed", || {
            assert!(replay.is_running(), "it ended: {}", replay.log());
            outcomes_of(&world, "taken").len() >= events
        });
    };
    let mut first = replay(&world, &arguments);
    begun(&mut first, 1);
    let mut second = replay(&world, &arguments);
    let first = first.ended();
    assert_eq!(first.code(), Some(1), "{}", first.stderr);
    assert!(first.stderr.contains("--name taken: another command goes on with this replay"), "{}", first.stderr);
    assert!(!first.stderr.contains("slot"), "{}", first.stderr);
    let before = outcomes_of(&world, "taken").len();
    begun(&mut second, before + 1);
    second.terminate();

    let (code, said) = ended(second);
    let count = |member: &str| said[member].as_u64().unwrap();
    assert_eq!((code, &said["complete"]), (Some(1), &false.into()), "{said}");
    assert_eq!((count("recordedOnly"), count("different")), (0, 0), "{said}");
    assert!(count("notReached") > 0, "{said}");
    assert_eq!(count("same") + count("notReached"), EVENTS as u64, "{said}");
}

#[test]
fn a_name_stands_for_one_replay() {
    let world = World::new("named");
    handled(&world, 3);
    let relative = ["--name", "one", "--from", "1h"];
    let (code, said) = ended(replay(&world, &relative));
    assert_eq!((code, &said["handled"], &said["same"]), (Some(0), &3.into(), &3.into()), "{said}");

    for (other, difference) in [
        (&["--to", "2"][..], "--to was end, and is 2"),
        (&["--type", "git.*"], "--type was not given, and is git.*"),
        (&["--effects"], "--effects was not given, and is given"),
        (&["--dry-run", "--key", "a"], "--key was not given, and is a"),
    ] {
        let refused = replay(&world, &[&relative[..], other].concat()).ended();
        assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
        for part in ["--name one is another replay, begun at", difference, "give another --name to begin anew"] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
    }
    assert_eq!(outcomes_of(&world, "one").len(), 3, "nothing was done for those that were refused");

    let again = replay(&world, &relative).ended();
    let said: Value = serde_json::from_str(&again.stdout).unwrap_or_else(|_| panic!("{}", again.stderr));
    let numbers = (&said["complete"], &said["events"], &said["handled"], &said["same"]);
    assert_eq!((again.code(), numbers), (Some(0), (&true.into(), &3.into(), &0.into(), &3.into())), "{said}");
    for part in
        ["going on with replay one", "nothing was left to handle", "another --name handles the events once more"]
    {
        assert!(again.stderr.contains(part), "{part}: {}", again.stderr);
    }
    assert_eq!(outcomes_of(&world, "one").len(), 3);
}

#[test]
fn of_two_commands_that_begin_a_name_at_the_same_time_one_wins() {
    const EVENTS: i64 = 6;
    let world = World::new("raced");
    handled(&world, 6);
    for round in 0..4 {
        let name = format!("round-{round}");
        let begin = |bound: &str, offset: &str| replay(&world, &["--name", &name, bound, offset]);
        let both = [begin("--to", "2"), begin("--from", "3")].map(Process::ended);
        let [first, second] = both.each_ref().map(|ended| ended.code() == Some(0));
        assert_ne!(first, second, "{both:?}");
        let (lost, meant) = if first { (&both[1], 0..2) } else { (&both[0], 3..EVENTS) };
        let refused = [": another command begins the replay", " is another replay, begun at"];
        let is_refused = refused.iter().any(|part| lost.stderr.contains(&format!("--name {name}{part}")));
        assert!(is_refused, "{}", lost.stderr);
        let mut offsets: Vec<i64> = outcomes_of(&world, &name).iter().map(|outcome| outcome.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, meant.collect::<Vec<_>>(), "{both:?}");
    }
}

#[test]
fn without_the_topic_of_audit_records_a_replay_says_what_makes_it() {
    let kafka = Kafka::start().unwrap();
    let world = World::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "unrecorded");
    world.send(&world.push("key"));
    delete(&world.stack.kafka, journal::TOPIC);
    for name in [&["--name", "first"][..], &[]] {
        let refused = replay(&world, name).ended();
        assert_eq!(refused.code(), Some(1), "{}", refused.stderr);
        for part in ["topic coafi.bitt.records is missing", "run `coafi topics apply`"] {
            assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
        }
    }
    let (code, said) = ended(replay(&world, &["--name", "first", "--dry-run"]));
    assert_eq!((code, &said["events"]), (Some(0), &1.into()), "{said}");
}

#[test]
fn what_happened_to_an_event_is_told_apart_from_its_replays() {
    let world = World::new("told");
    let push = world.push("key");
    let id = push.header("ce_id").expect("an event").to_owned();
    world.send(&push);
    world.consume();
    for name in ["first", "second"] {
        assert_eq!(ended(replay(&world, &["--name", name])).0, Some(0));
    }
    let story = world.run(&["event", "show", &id, "--output", "json"]).json();
    assert_eq!(story["outcome"], "processed", "{story}");
    let steps = |steps: &Value| steps.as_array().unwrap().iter().map(|step| step["type"].clone()).collect::<Vec<_>>();
    let live = steps(&story["steps"]);
    assert_eq!(live.iter().filter(|kind| **kind == "EVENT_PROCESSED").count(), 1, "{story}");
    let replays = story["replays"].as_array().unwrap();
    let names: Vec<_> = replays.iter().map(|replay| replay["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"], "{story}");
    assert!(
        replays.iter().all(|replay| replay["outcome"] == "processed" && steps(&replay["steps"]) == live),
        "{story}"
    );
    let told = world.run(&["event", "show", &id]).stdout;
    let at = |part: &str| told.find(part).unwrap_or_else(|| panic!("{part}: {told}"));
    assert!(at("EVENT_PROCESSED") < at("replay first") && at("replay first") < at("replay second"), "{told}");
}
