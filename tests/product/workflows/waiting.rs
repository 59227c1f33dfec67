//! Runs that wait for an event and for another run, and that undo what they did; and die meanwhile.

use serde_json::json;

use super::{Flows, ROUTE};
use crate::process::eventually;

/// Events of the world's topic are given to those that wait for them.
const EVENTS: &str = "  - {name: reviews, match: {type: drill.step, topic: TOPIC}, handler: workflow, dependencies: [database, schema-registry]}
";

/// Asks for a review beside waiting for it, so that no answer is too early.
const ORDER: &str = "name: Order
version: 1
input: {type: object, required: [part, ships], properties: {part: {type: string}, ships: {type: boolean}}}
steps:
  - id: reserve
    registry_update: {registry: reserved, entry: =input.part, data: {by: =run.id}}
    compensate: {registry_update: {registry: reserved, entry: =input.part, data: null}}
  - id: review
    parallel:
      - id: ask
        emit: {topic: SOURCE, type: drill.step, key: =input.part,
               data: {key: =input.part + '?', sequence: 1, action: ok, times: 0, emit: false, write: false}}
      - id: answer
        wait_for: {type: drill.step, correlate: data.key, equals: =input.part, within: 10m}
  - id: pack
    call: {workflow: Pack, input: {part: =input.part}}
  - id: ship
    validate: {value: =input.ships, schema: {const: true}}
output: {answered: =steps.review.output.answer.data.sequence, packed: =steps.pack.output.packed}
";

const PACK: &str = "name: Pack
version: 1
input: {type: object, required: [part]}
steps:
  - {id: pause, wait: 100ms}
  - {id: box, registry_update: {registry: boxes, entry: =input.part, data: {by: =run.id}}}
output: {packed: =steps.box.output.entry}
";

impl Flows {
    fn answer(&self, part: &str, sequence: i32) {
        let data =
            json!({"key": part, "sequence": sequence, "action": "ok", "times": 0, "emit": false, "write": false});
        let data = data.to_string();
        self.world
            .run(&["event", "send", "--type", "drill.step", "--topic", &self.world.topic, "--data", &data])
            .well();
    }

    fn versions(&self, registry: &str, part: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM registry_history WHERE registry = '{registry}' AND entry = '{part}'");
        self.world.database.number(&sql)
    }

    /// By its id: the group is given the runs that other tests ask for, too.
    fn waits(&self, id: &str) -> bool {
        let sql = format!("SELECT count(*) FROM workflow_wait WHERE workflow_id = '{id}'");
        self.world.database.number(&sql) == 1
    }
}

fn flows(name: &str) -> Flows {
    let flows = Flows::with(name, &[("order", ORDER), ("pack", PACK)]);
    let events = EVENTS.replace("TOPIC", &flows.world.topic);
    flows.world.change_routes(|routes| routes.replace(ROUTE, "") + &events + ROUTE);
    flows
}

#[test]
fn a_run_that_waits_is_taken_on_by_its_event_and_by_the_run_that_it_called_whoever_dies() {
    let flows = flows("flow_waits");
    let mut replica = flows.replica();
    let (wing, door) = (flows.id("wing"), flows.id("door"));
    let ids = [&wing, &door].map(|part| flows.start("Order", part, &json!({"part": part, "ships": true})));
    eventually("both wait", || ids.iter().all(|id| flows.waits(id)));
    replica.kill();
    replica = flows.replica();
    flows.answer(&wing, 7);
    eventually("the answer has come", || !flows.waits(&ids[0]));
    replica.kill();
    replica = flows.replica();
    let shown = flows.until(&ids[0], "completed");
    assert_eq!(shown["state"]["output"], json!({"answered": 7, "packed": wing}), "{shown}");
    assert_eq!((flows.versions("reserved", &wing), flows.versions("boxes", &wing)), (1, 1), "every effect once");
    let child = shown["state"]["steps"]["pack"]["child"].as_str().unwrap();
    assert_eq!(flows.shown(child).unwrap()["status"], "completed");
    assert_eq!(flows.shown(&ids[1]).unwrap()["status"], "running", "the answer was another's");
    replica.terminate();
    replica.ended().well();
}

#[test]
fn what_a_run_has_done_is_undone_when_it_fails() {
    let flows = flows("flow_undo");
    let replica = flows.replica();
    let part = flows.id("part");
    let id = flows.start("Order", &part, &json!({"part": part, "ships": false}));
    eventually("it waits", || flows.waits(&id));
    flows.answer(&part, 1);
    let shown = flows.until(&id, "failed");
    assert_eq!(shown["state"]["fault"]["step"], "ship", "{shown}");
    assert_eq!((flows.versions("reserved", &part), flows.versions("boxes", &part)), (2, 1));
    let there = format!(
        "SELECT count(*) FROM registry_entry WHERE entry = '{part}' AND registry = 'reserved' AND data IS NULL"
    );
    assert_eq!(flows.world.database.number(&there), 1, "what was reserved is not any more");
    let steps: Vec<&str> = shown["attempts"].as_array().unwrap().iter().filter_map(|a| a["step"].as_str()).collect();
    assert!(steps.contains(&"reserve~undo"), "{steps:?}");
    let retried = flows.workflow(&["retry", &id]);
    assert_eq!(retried.code(), Some(1), "{retried:?}");
    replica.terminate();
    replica.ended().well();
}
