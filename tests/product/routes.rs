//! Routes that are switched off and on, and what other routes would decide.

use serde_json::{Value, json};

use crate::event::{attributes, push_data};
use crate::journal;
use crate::process::{Ended, eventually};
use crate::topic::{Record, ends, read};
use crate::world::World;

/// Types that the worlds' routes do not have: each is decided otherwise by the candidate, but for the last.
const OTHER_HANDLER: &str = "test.other";
const SWITCHED_OFF: &str = "test.off";
const WITHOUT_ROUTE: &str = "test.gone";
const AS_BEFORE: &str = "test.same";

#[test]
fn events_of_a_disabled_route_wait_in_their_topic_until_it_is_enabled() {
    let world = World::new("disabled");
    let disabled = "handler: git_ref\n    enabled: false";
    world.change_routes(|routes| routes.replace("handler: git_ref", disabled));
    let waiting = ["a", "b", "a"].map(|key| world.send(&world.push(key)));
    let other = attributes("no.route", "/product");
    world.send(&Record { value: Some(b"{}".to_vec()), ..other });
    let mut replica = world.replica();
    replica.until_ready();
    let ends = world.until_ended(1);
    assert_eq!((ends.len(), &*ends[0].outcome), (1, "unprocessed"), "others go on: {ends:?}");
    eventually("the lag says how many wait", || world.lag() == 4);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));

    world.change_routes(|routes| routes.replace(disabled, "handler: git_ref"));
    let summary = world.consume();
    assert_eq!((&summary["events"]["processed"], &summary["events"]["unprocessed"]), (&3.into(), &0.into()));
    let offsets: Vec<i64> = world.outcomes().iter().filter(|o| o.outcome == "processed").map(|o| o.offset).collect();
    assert_eq!(offsets.len(), 3);
    assert!(waiting.iter().all(|offset| offsets.contains(offset)));
}

/// Events of every kind, handled. Gives `topic[partition]@offset id` of each, as they are told.
fn recorded(world: &World) -> Vec<String> {
    let added = [OTHER_HANDLER, SWITCHED_OFF, WITHOUT_ROUTE, AS_BEFORE]
        .map(|kind| format!("  - {{name: {kind}, match: {{type: {kind}, topic: {}}}, handler: noop}}\n", world.topic));
    world.change_routes(|routes| routes + &added.concat());
    let push = |branch: &str| {
        let mut data = push_data();
        data["branch"] = branch.into();
        Record { value: Some(world.pushes.encode(&data)), ..world.push(branch) }
    };
    let plain = |kind: &str| {
        let headers = attributes(kind, "/product").without("content-type").with("content-type", "application/json");
        Record { key: Some(kind.into()), value: Some(b"{}".to_vec()), ..headers }
    };
    let events = [
        push("main"),
        push("topic"),
        plain(OTHER_HANDLER),
        plain(SWITCHED_OFF),
        plain(WITHOUT_ROUTE),
        plain(AS_BEFORE),
        push("topic"),
    ];
    let place = |event: &Record| format!("{}[0]@{} {}", world.topic, world.send(event), event.header("ce_id").unwrap());
    let places = events.iter().map(place).collect();
    world.consume();
    assert!(world.outcomes().iter().all(|outcome| outcome.outcome == "processed"), "{:?}", world.outcomes());
    places
}

/// The routes in force with a filter, another handler, a route that is disabled, and one that is gone.
fn candidate(world: &World) -> String {
    let line = |kind: &str, rest: &str| {
        format!("  - {{name: {kind}, match: {{type: {kind}, topic: {}}}, handler: {rest}}}\n", world.topic)
    };
    let mut routes = std::fs::read_to_string(world.path("routes.yaml")).unwrap();
    for (before, after) in [
        ("handler: git_ref\n".to_owned(), "handler: git_ref\n    filter: data.branch == 'main'\n".to_owned()),
        (line(OTHER_HANDLER, "noop"), line(OTHER_HANDLER, "log")),
        (line(SWITCHED_OFF, "noop"), line(SWITCHED_OFF, "noop, enabled: false")),
        (line(WITHOUT_ROUTE, "noop"), String::new()),
    ] {
        assert_eq!(routes.matches(&before).count(), 1, "{before}: {routes}");
        routes = routes.replace(&before, &after);
    }
    routes
}

fn tested(world: &World, candidate: &str) -> Ended {
    let file = world.path("candidate.yaml");
    std::fs::write(&file, candidate).unwrap();
    let file = file.to_str().unwrap();
    world.run(&["routes", "test", "--since", "1h", "--topic", &world.topic, "--routes", file, "--output", "json"])
}

#[test]
fn a_candidate_is_told_apart_decision_by_decision_and_leaves_no_trace() {
    let world = World::new("candidate");
    let places = recorded(&world);
    let audited = ends(&world.stack.kafka, journal::TOPIC);
    let everything = || (world.outcomes().len(), world.committed(), ends(&world.stack.kafka, &world.topic));
    let before = everything();

    let ended = tested(&world, &candidate(&world));
    assert_eq!(ended.code(), Some(1), "{}{}", ended.stdout, ended.stderr);
    let said: Value = serde_json::from_str(&ended.stdout).expect(&ended.stdout);
    assert_eq!((&said["events"], &said["different"]), (&7.into(), &5.into()), "{said}");
    assert_ne!(said["version"], said["candidateVersion"], "{said}");
    let noop = |kind: &str| json!({"handled": {"route": kind, "handlers": ["noop"]}});
    let pushed = json!({"handled": {"route": "pushes", "handlers": ["git_ref"]}});
    let of = |kind: &str, now: &Value, candidate: Value, examples: &[usize]| {
        let examples: Vec<&str> = examples.iter().map(|index| &*places[*index]).collect();
        let events = examples.len().max(1);
        json!({"eventType": kind, "now": now, "candidate": candidate, "events": events, "examples": examples})
    };
    let logged = json!({"handled": {"route": OTHER_HANDLER, "handlers": ["log"]}});
    let expected = [
        of("git.push", &pushed, json!({"filtered": {"route": "pushes"}}), &[1, 6]),
        of("git.push", &pushed, pushed.clone(), &[]),
        of(WITHOUT_ROUTE, &noop(WITHOUT_ROUTE), json!("unprocessed"), &[4]),
        of(SWITCHED_OFF, &noop(SWITCHED_OFF), json!({"waits": {"route": SWITCHED_OFF}}), &[3]),
        of(OTHER_HANDLER, &noop(OTHER_HANDLER), logged, &[2]),
        of(AS_BEFORE, &noop(AS_BEFORE), noop(AS_BEFORE), &[]),
    ];
    assert_eq!(said["decided"], json!(expected));

    assert_eq!(everything(), before, "outcomes and offsets are as they were");
    let topic = world.topic.as_bytes();
    let since = read(&world.stack.kafka, journal::TOPIC, &audited);
    let ours = |value: &Vec<u8>| value.windows(topic.len()).any(|part| part == topic);
    let written = since.iter().filter(|read| read.record.value.as_ref().is_some_and(ours)).count();
    assert_eq!(written, 0, "no audit record of anybody's names the topic");
}

#[test]
fn a_candidate_that_is_wrong_is_no_difference() {
    let world = World::new("wrong_candidate");
    let routes = std::fs::read_to_string(world.path("routes.yaml")).unwrap();
    for (broken, said) in [
        (routes.replace("handler: git_ref", "handler: git_reef"), "git_reef"),
        (routes.replace("handler: git_ref\n", "handler: git_ref\n    filter: data.branch ==\n"), "filter"),
        ("routes: [".to_owned(), "candidate.yaml"),
    ] {
        let ended = tested(&world, &broken);
        assert_eq!((ended.code(), &*ended.stdout), (Some(2), ""), "{broken}: {}", ended.stderr);
        assert!(ended.stderr.contains("candidate.yaml") && ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    // Where nobody names a file, routes that were built in stand for the last one.
    for missing in ["nosuch.yaml", "handler_routes.yaml"] {
        let ended = world.run(&["routes", "test", "--since", "1h", "--topic", &world.topic, "--routes", missing]);
        assert!(
            ended.code() == Some(2) && ended.stderr.contains(missing),
            "{missing}: {}{}",
            ended.stdout,
            ended.stderr
        );
    }
}
