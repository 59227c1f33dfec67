//! A static member dies in the middle of a rebalance and comes back under its id: the group is at rest, and partitions that it
//! was giving up belong to nobody.

use serde_json::json;

use crate::event::attributes;
use crate::process::{Process, eventually};
use crate::stack::Stack;
use crate::topic::Record;
use crate::world::World;

const PARTITIONS: usize = 4;
/// Its first attempt takes the whole deadline, and giving partitions up takes as long. Less than the drain may take.
const ROUTE: &str = "
  - name: drills
    match: {type: drill.step, topic: TOPIC}
    handler: drill
    deadline: 10s
";

fn start(world: &World, slot: &str) -> Process {
    Process::start(world.command(&["consume", "--slot", slot]))
}

fn event(partition: usize) -> Record {
    let key = format!("key-{partition}");
    let data = json!({"key": key, "sequence": 0, "action": "hang", "times": 1, "emit": false, "write": false});
    let record = attributes("drill.step", "/product").without("content-type").with("content-type", "application/json");
    Record { key: Some(key.into()), value: Some(data.to_string().into_bytes()), ..record }
}

#[test]
fn partitions_without_an_owner_are_found_and_taken() {
    let world = World::spread(Stack::shared(), "vacancies", PARTITIONS);
    world.change_routes(|routes| routes + &ROUTE.replace("TOPIC", &world.topic));
    for partition in 0..PARTITIONS {
        world.producer.hand_over(&world.topic, i32::try_from(partition).unwrap(), &event(partition));
    }
    world.producer.flush();
    let mut first = start(&world, "a");
    first.until_ready();
    eventually("a handler runs in every partition", || first.metric("coafi_records_in_flight") >= PARTITIONS as f64);
    let second = start(&world, "b");
    eventually("partitions are to be given up", || first.log().contains("revoked, draining"));
    first.kill();
    drop(first);
    let again = start(&world, "a");
    eventually("the other one sees it", || second.log().contains("nobody has these partitions"));
    let ends = world.until_ended(PARTITIONS);
    assert!(ends.iter().all(|end| end.outcome == "processed"), "{ends:?}");
    for replica in [again, second] {
        replica.terminate();
        assert_eq!(replica.ended().code(), Some(0));
    }
}
