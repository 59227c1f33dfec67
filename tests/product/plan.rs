//! What `coafi topics plan` says of a cluster that is not as declared.

use serde_json::Value;

use crate::topic::ends;
use crate::world::World;

/// The exit code, and the steps that concern the world's topic: what they change, and whether they are refused.
fn plan(world: &World) -> (Option<i32>, Vec<(String, bool)>) {
    let ended = world.run(&["topics", "plan", "--replication-factor", "1", "--output", "json"]);
    let said: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    assert_eq!(said["applied"], false, "{said}");
    let ours = said["steps"].as_array().unwrap().iter().filter(|step| step["topic"] == *world.topic);
    let step = |step: &Value| (step["change"].to_string(), step["refused"].is_string());
    (ended.code(), ours.map(step).collect())
}

#[test]
fn a_plan_by_which_something_would_be_lost_is_answered_with_no() {
    let world = World::new("planned");
    let declare = |from: &str, to: &str| {
        let file = world.path("topics").join("source.yaml");
        let declared = std::fs::read_to_string(&file).unwrap();
        assert!(declared.contains(from), "{from}: {declared}");
        std::fs::write(&file, declared.replacen(from, to, 1)).unwrap();
    };
    assert_eq!(plan(&world), (Some(0), vec![]), "it is as declared");

    declare("partitions: 1", "partitions: 2");
    let (code, steps) = plan(&world);
    assert_eq!((code, steps.len(), steps[0].1), (Some(0), 1, false), "without records no key has an order: {steps:?}");
    world.send(&world.push("key"));
    let (code, steps) = plan(&world);
    assert_eq!((code, steps.len(), steps[0].1), (Some(1), 1, true), "{steps:?}");
    declare("partitions: 2", "partitions: 1");

    declare("retention: 1d", "retention: 2d");
    let (code, steps) = plan(&world);
    assert_eq!((code, steps.len(), steps[0].1), (Some(0), 1, false), "kept for longer: {steps:?}");
    declare("retention: 2d", "retention: 1h");
    let (code, steps) = plan(&world);
    assert_eq!((code, steps.len(), steps[0].1), (Some(1), 1, true), "{steps:?}");
    let told = world.run(&["topics", "plan", "--replication-factor", "1"]);
    assert_eq!(told.code(), Some(1), "{}", told.stderr);
    assert!(
        told.stdout.contains(&world.topic) && told.stdout.contains("are refused, so none is done"),
        "{}",
        told.stdout
    );
    assert_eq!(ends(&world.stack.kafka, &world.topic).len(), 1, "a plan changes nothing");
}
