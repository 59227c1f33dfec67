//! `coafi replay`: recorded events are handled again, and the live group does not notice.

use std::collections::BTreeSet;
use std::path::Path;

use coafi_testcontainers::Kafka;
use serde_json::Value;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::artifacts::pages;
use crate::event::{attributes, commit_data};
use crate::journal::{self, Outcome};
use crate::process::{Process, eventually};
use crate::repositories::Repository;
use crate::stack::{Stack, block_on};
use crate::topic::{Positions, Record, delete, ends, read};
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

/// Kills a replay once it has come to its first outcomes, and before its last.
fn kill_in_the_middle(world: &World, name: &str, arguments: &[&str], events: usize) {
    let mut slow = replay(world, &[arguments, &["--name", name, "--rate", "1"]].concat());
    eventually("some events are replayed", || {
        assert!(slow.is_running(), "it ended: {}", slow.log());
        outcomes_of(world, name).len() >= 5
    });
    slow.kill();
    drop(slow);
    assert!(outcomes_of(world, name).len() < events, "it was killed before its end");
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
    let world = World::spread(Stack::shared(), "dry", 2);
    for number in 0..5 {
        world.send(&world.push(&format!("key-{number}")));
    }
    let elsewhere = Record { headers: attributes("git.push", "/elsewhere").headers, ..world.push("other") };
    world.producer.send_to(&world.topic, 1, &elsewhere);
    // Partition and offset of each.
    let first = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)];
    let all = [&first[..], &[(1, 0)]].concat();
    for (arguments, expected) in [
        (&[][..], &all[..]),
        (&["--from", "1", "--to", "3"], &first[1..3]),
        (&["--key", "key-4", "--key", "key-0"], &[(0, 0), (0, 4)]),
        (&["--type", "git.commit"], &[]),
        (&["--filter", "data.forced == false && event.type == 'git.push'", "--from", "4"], &first[4..]),
        (&["--from", "1h"], &all),
        (&["--to", "1h"], &[]),
        (&["--partition", "0"], &first),
        (&["--partition", "1"], &[(1, 0)]),
        (&["--partition", "0", "--partition", "1", "--to", "1"], &[(0, 0), (1, 0)]),
        (&["--source", "/else*"], &[(1, 0)]),
        (&["--source", "/product"], &first),
        (&["--source", "/product", "--partition", "1"], &[]),
    ] {
        let (code, said) = ended(replay(&world, &[&["--dry-run"], arguments].concat()));
        assert_eq!((code, said["events"].as_u64()), (Some(0), Some(expected.len() as u64)), "{arguments:?}: {said}");
        let number = |listed: &Value, member: &str| listed[member].as_i64().unwrap();
        let listed = said["listed"].as_array().unwrap().iter();
        let mut places: Vec<_> = listed.map(|one| (number(one, "partition"), number(one, "offset"))).collect();
        places.sort_unstable();
        assert_eq!(places, expected, "{arguments:?}: {said}");
    }
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
    kill_in_the_middle(&world, "killed", &["--isolated"], EVENTS);

    let (code, said) = ended(replay(&world, &["--name", "killed", "--isolated"]));
    assert_eq!((code, &said["complete"], &said["same"]), (Some(0), &true.into(), &EVENTS.into()), "{said}");
    let offsets: Vec<i64> = outcomes_of(&world, "killed").iter().map(|outcome| outcome.offset).collect();
    assert_eq!((offsets.len(), offsets.into_iter().collect::<BTreeSet<_>>().len()), (EVENTS, EVENTS), "each once");
    assert_eq!(read(&world.stack.kafka, &world.topic, &Positions::new()).len(), EVENTS);
}

#[test]
fn a_shadow_that_is_kept_is_gone_on_with() {
    const EVENTS: usize = 60;
    let world = World::new("shadow");
    handled(&world, EVENTS);
    let written = world.database.number(EFFECTS);
    let shadow = world.path("shadow");
    let arguments = ["--shadow", shadow.to_str().unwrap()];
    kill_in_the_middle(&world, "kept", &arguments, EVENTS);

    let (code, said) = ended(replay(&world, &[&arguments[..], &["--name", "kept"]].concat()));
    assert_eq!((code, &said["complete"], &said["same"]), (Some(0), &true.into(), &EVENTS.into()), "{said}");
    assert!(said["handled"].as_u64().unwrap() < EVENTS as u64, "some were handled before: {said}");
    assert_eq!(effects_in(&shadow), i64::try_from(EVENTS).unwrap(), "both parts' effects, each once");
    assert_eq!(world.database.number(EFFECTS), written, "none of them is the live group's");
}

/// As [`EFFECTS`], of a replay's own database.
fn effects_in(shadow: &Path) -> i64 {
    let options = SqliteConnectOptions::new().filename(shadow.join("replay.db"));
    block_on(async {
        let mut connection = options.connect().await.unwrap();
        sqlx::query_scalar(EFFECTS).fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn what_handlers_derive_and_generate_is_held_back_or_marked_as_the_replays() {
    const COMMITS: usize = 3;
    let world = World::new("derived");
    let (workflows, from) = ("coafi.workflow", ends(&world.stack.kafka, "coafi.workflow"));
    let repository = Repository::init(world.path("repository"));
    let commits: Vec<Record> = (0..COMMITS)
        .map(|number| {
            let sha = repository.commit_file(&format!("docs/{number}.md"), "# A document\n\nWith a page of its own.\n");
            let value = world.commits.encode(&commit_data(&repository.url(), &sha));
            Record { key: Some("key".into()), value: Some(value), ..attributes("git.commit", "/product") }
        })
        .collect();
    let caused = |record: &Record, cause: &Record| record.header("ce_causationid") == cause.header("ce_id");
    // Each commit's derived events' runs.
    let runs = || {
        let all = read(&world.stack.kafka, workflows, &from);
        let of = |cause: &Record| {
            let derived = all.iter().map(|read| &read.record).filter(|record| caused(record, cause));
            derived.map(|record| record.header("coafi-run").map(str::to_owned)).collect::<Vec<_>>()
        };
        commits.iter().map(of).collect::<Vec<_>>()
    };
    for commit in &commits {
        world.send(commit);
    }
    world.consume();
    assert_eq!(runs(), vec![vec![None]; COMMITS], "of the live group");
    let artifacts = world.path(".coafi/artifacts");
    assert_eq!(pages(&artifacts), COMMITS);
    // Whoever writes there writes pages of the same names: they have to be away to be missed.
    std::fs::rename(&artifacts, world.path("aside")).unwrap();
    let effects = world.database.number(EFFECTS);

    let temporary = world.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = world.command(&["replay", "--topic", &world.topic, "--name", "held", "--output", "json"]);
    command.env("TMPDIR", &temporary);
    let (code, said) = ended(Process::start(command));
    assert_eq!((code, &said["same"]), (Some(0), &COMMITS.into()), "{said}");
    assert_eq!(runs(), vec![vec![None]; COMMITS], "held back");
    assert!(!artifacts.exists(), "nothing is generated where the live group's pages are");
    assert_eq!(world.database.number(EFFECTS), effects);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "its own database and pages are removed");

    let (code, said) = ended(replay(&world, &["--effects", "--name", "real"]));
    assert_eq!((code, &said["same"]), (Some(0), &COMMITS.into()), "{said}");
    let run = Some(format!("{}.replay.real", world.group));
    assert_eq!(runs(), vec![vec![None, run]; COMMITS], "published, and marked");
    assert_eq!(pages(&artifacts), COMMITS);
    assert_eq!(world.database.number(EFFECTS), 2 * effects);
}

#[test]
fn a_replay_keeps_to_its_rate() {
    const EVENTS: usize = 30;
    const PER_SECOND: usize = 10;
    let world = World::new("rated");
    handled(&world, EVENTS);
    let (code, said) = ended(replay(&world, &["--name", "rated", "--rate", &PER_SECOND.to_string()]));
    assert_eq!((code, &said["same"]), (Some(0), &EVENTS.into()), "{said}");
    let ends: Vec<i64> = outcomes_of(&world, "rated").iter().map(|outcome| outcome.ended_at).collect();
    let took_ms = ends.iter().max().unwrap() - ends.iter().min().unwrap();
    // As many as in a second may begin at once; clocks are read to the millisecond.
    let at_least_ms = i64::try_from((EVENTS - PER_SECOND) * 1_000 / PER_SECOND).unwrap() - 200;
    assert!(took_ms >= at_least_ms, "{EVENTS} events within {took_ms} ms");
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
