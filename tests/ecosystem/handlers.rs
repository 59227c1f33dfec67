//! The handlers in other languages of `examples/`, really started and called: what they answer is emitted.

use std::process::Command;

use serde_json::{Value, json};

use crate::event::{Subject, attributes, push_data};
use crate::process::{Process, found};
use crate::tools;
use crate::topic::{Positions, Record, read};
use crate::world::World;

const TAG: &str = "org.coafi.events.GitTagEventPayload";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WRONG: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn the_example_in_python_is_called_and_what_it_answers_is_emitted() {
    check("python", |_| tools::python_handler());
}

#[test]
fn the_example_in_typescript_is_called_and_what_it_answers_is_emitted() {
    check("typescript", |world| {
        let directory = world.path("handler");
        std::fs::create_dir(&directory).unwrap();
        tools::typescript_handler(&directory)
    });
}

fn check(language: &str, handler: impl FnOnce(&World) -> Command) {
    let world = World::new(&format!("{language}_handler"));
    let mut command = handler(&world);
    command.env("SECRET", SECRET).env("PORT", "0");
    let handler = Process::start(command);
    let url = found("it listens", || {
        let said = handler.log();
        said.lines().find_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
    });
    let topic = &world.topic;
    world.change_routes(|_| {
        format!(
            "routes:
  - {{name: tags, match: {{type: git.tag, topic: {topic}}}, handler: log}}
  - {{name: forged, match: {{type: git.push, source: /forged, topic: {topic}}}, handler: http:forger}}
  - {{name: pushes, match: {{type: git.push, topic: {topic}}}, handler: http:example}}
"
        )
    });
    let settings = format!(
        "outgoing: {{allow: [127.0.0.1]}}
endpoints:
  - {{name: example, url: '{url}', secret_file: example, emits: {{git.tag: {topic}}}}}
  - {{name: forger, url: '{url}', secret_file: forger, emits: {{git.tag: {topic}}}}}
"
    );
    std::fs::write(world.path("coafi.yaml"), settings).unwrap();
    // Its next secret signs too.
    std::fs::write(world.path("example"), format!("{WRONG}\n{SECRET}\n")).unwrap();
    std::fs::write(world.path("forger"), format!("{WRONG}\n")).unwrap();

    let release = push(&world, "/product", "release/1.2");
    let other = push(&world, "/product", "main");
    let forged = push(&world, "/forged", "release/6.6");
    for push in [&release, &other, &forged] {
        world.send(push);
    }
    let mut replica = world.replica();
    replica.until_ready();
    world.until_ended(4);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    for (push, outcome, class) in
        [(&release, "processed", None), (&other, "processed", None), (&forged, "dead_lettered", Some("permanent"))]
    {
        let end = world.end_of(push);
        assert_eq!((&*end.outcome, end.attempt, end.error_class.as_deref()), (outcome, 1, class));
    }
    let records = read(&world.stack.kafka, topic, &Positions::new());
    let tags: Vec<_> = records.iter().filter(|read| read.record.header("ce_type") == Some("git.tag")).collect();
    assert_eq!(tags.len(), 1);
    let tag = &tags[0].record;
    assert_eq!(tag.header("ce_id"), Some(&*format!("{}/tag", release.header("ce_id").unwrap())));
    assert_eq!(tag.header("ce_source"), Some(&*format!("/examples/{language}")));
    let data = Subject::latest(&world.stack.registry, topic, TAG).decode(tag.value.as_deref().unwrap());
    assert_eq!((&data["tag"], &data["action"]), (&json!("v1.2"), &json!("created")));
}

fn push(world: &World, source: &str, branch: &str) -> Record {
    let mut data = push_data();
    data["branch"] = Value::from(branch);
    let value = world.pushes.encode(&data);
    Record { key: Some(branch.into()), value: Some(value), ..attributes("git.push", source) }
}
