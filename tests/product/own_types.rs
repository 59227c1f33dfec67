//! Event types of a deployment's own: a schema file, a declared topic, and nothing is built anew.

use std::process::Command;

use serde_json::json;

use crate::event::Subject;
use crate::process::{Ended, Process, eventually};
use crate::topic::{Positions, Read, read};
use crate::world::World;

const PLACED: &str = r#"{"type": "record", "name": "Placed", "namespace": "shop.orders", "fields": [
    {"name": "order", "type": "string"},
    {"name": "amount", "type": "long"},
    {"name": "placedAt", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "note", "type": ["null", "string"], "default": null}
]}"#;

const CONFIRMED: &str = r#"{"type": "record", "name": "Confirmed", "namespace": "shop.orders", "fields": [
    {"name": "order", "type": "string"},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}}
]}"#;

const CONFIRM: &str = "name: Confirm
version: 1
input: {type: object, required: [order]}
on:
  - {type: orders.placed, when: data.amount < 1000, input: {order: =data.order}}
steps:
  - id: tell
    emit: {topic: ORDERS, type: orders.confirmed, key: =input.order, data: {order: =input.order, day: '2026-01-31'}}
";

const ORDERS: &str = "topic: ORDERS
owner: shop
partitions: 1
replication: 1
key: order
schemas: [shop.orders.Placed, shop.orders.Confirmed]
retention: 1d
cleanup: delete
max_message_bytes: 1 MiB
retry: {tiers: [1s], retention: 1d}
dead_letter: {retention: 1d}
";

const ROUTES: &str = "  - name: workflows
    match: {type: workflow.*, topic: coafi.workflow}
    handler: workflow
    dependencies: [database, schema-registry]
  - name: placed
    match: {type: orders.placed, topic: ORDERS}
    handler: workflow
    dependencies: [database, schema-registry]
  - {name: confirmed, match: {type: orders.confirmed, topic: ORDERS}, handler: log}
";

/// A world in which orders are placed and confirmed.
struct Shop {
    world: World,
    orders: String,
}

impl Shop {
    fn new() -> Self {
        let world = World::new("own_types");
        let orders = format!("{}.orders", world.group);
        let write = |path: &str, text: &str| {
            let path = world.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ORDERS", &orders)).unwrap();
        };
        write("avro/orders.placed.avsc", PLACED);
        write("avro/orders.confirmed.avsc", CONFIRMED);
        write("topics/orders.yaml", ORDERS);
        write("workflows/confirm.yaml", CONFIRM);
        world.change_routes(|routes| routes + &ROUTES.replace("ORDERS", &orders));
        Self { world, orders }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env("COAFI__AVRO_DIR", self.world.path("avro")).env("COAFI__KAFKA__START", "latest");
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        Process::start(self.command(args)).ended()
    }

    /// Events of this type in the shop's topic.
    fn events(&self, event_type: &str) -> Vec<Read> {
        let all = read(&self.world.stack.kafka, &self.orders, &Positions::new());
        all.into_iter().filter(|read| read.record.header("ce_type") == Some(event_type)).collect()
    }
}

#[test]
fn a_type_of_ones_own_is_sent_handled_and_emitted() {
    let shop = Shop::new();
    shop.run(&["topics", "apply", "--replication-factor", "1"]).well();
    let registered = shop.run(&["schemas", "register", "--output", "json"]).json();
    for record in ["Placed", "Confirmed"] {
        let subject = format!("{}-shop.orders.{record}", shop.orders);
        assert!(registered["registered"][&subject].is_number(), "{registered}");
    }
    let acls = shop.run(&["acls", "consume", "--output", "json"]).json().to_string();
    assert!(acls.contains(&format!("\"{}\"", shop.orders)), "the workflow writes there: {acls}");
    let mut replica = Process::start(shop.command(&["consume"]));
    replica.until_ready();
    for (order, amount) in [("o-1", 7), ("o-2", 7_000)] {
        let data = json!({"order": order, "amount": amount, "placedAt": "2026-01-31T10:00:00Z"}).to_string();
        let sent = shop.run(&["event", "send", "--type", "orders.placed", "--data", &data, "--output", "json"]).json();
        assert_eq!(sent["topic"], shop.orders.as_str(), "{sent}");
    }
    eventually("an order is confirmed", || !shop.events("orders.confirmed").is_empty());
    let confirmed = shop.events("orders.confirmed");
    let [read] = confirmed.as_slice() else { panic!("one is below the limit: {confirmed:?}") };
    // As anybody reads it who has the registry.
    let subject = Subject::latest(&shop.world.stack.registry, &shop.orders, "shop.orders.Confirmed");
    let data = subject.decode(read.record.value.as_deref().unwrap());
    assert_eq!(data, json!({"order": "o-1", "day": 20_484}));
    assert_eq!(read.record.key.as_deref(), Some(&b"o-1"[..]));
    eventually("all is handled", || {
        let of = |topic: &str| topic == shop.orders;
        shop.world.outcomes().iter().filter(|outcome| outcome.is_final() && of(&outcome.topic)).count() == 3
    });
    replica.terminate();
    replica.ended().well();
}

#[test]
fn what_is_wrong_with_a_type_of_ones_own_is_said_where_it_is_used() {
    let shop = Shop::new();
    let refused = |args: &[&str], words: &[&str]| {
        let ended = shop.run(args);
        assert_eq!(ended.code(), Some(2), "{args:?}: {ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{args:?} does not say {word:?}: {}", ended.stderr);
        }
    };
    let send = |data: &'static str| ["event", "send", "--type", "orders.placed", "--data", data];
    refused(&send(r#"{"order": "o-1"}"#), &["shop.orders.Placed", "amount: it is missing"]);
    refused(&["event", "send", "--type", "orders.payed", "--data", "{}"], &["orders.placed, ", "orders.confirmed, "]);
    // The declarations name what nobody has told of.
    let ended = shop.world.run(&["topics", "plan"]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("schemas is \"shop.orders.Placed\""), "{}", ended.stderr);

    let file = shop.world.path("avro/orders.confirmed.avsc");
    std::fs::write(&file, CONFIRMED.replace("Confirmed", "Placed")).unwrap();
    for command in [&["consume"][..], &["schemas", "check"], &send("{}"), &["dev", "--once"]] {
        refused(command, &["orders.placed.avsc", "record shop.orders.Placed is that of type orders.confirmed already"]);
    }
    std::fs::remove_dir_all(shop.world.path("avro")).unwrap();
    refused(&["consume"], &["avro", "No such file"]);
}

/// What was written before a field was there is read with its default.
#[test]
fn an_older_event_is_read_by_the_schema_of_today() {
    let shop = Shop::new();
    shop.run(&["topics", "apply", "--replication-factor", "1"]).well();
    shop.run(&["schemas", "register"]).well();
    // Makes the group's position, so that what comes while nobody is there is not passed over.
    Process::start(shop.command(&["consume", "--exit-when-idle", "1s"])).ended().well();
    let data = json!({"order": "o-1", "amount": 7.0, "placedAt": 0}).to_string();
    shop.run(&["event", "send", "--type", "orders.placed", "--data", &data]).well();
    let file = shop.world.path("avro/orders.placed.avsc");
    let vip = r#"{"name": "vip", "type": "boolean", "default": true}, {"name": "note""#;
    std::fs::write(&file, PLACED.replace(r#"{"name": "note""#, vip)).unwrap();
    let flow = shop.world.path("workflows/confirm.yaml");
    let text = std::fs::read_to_string(&flow).unwrap();
    std::fs::write(&flow, text.replace("data.amount < 1000", "data.vip")).unwrap();
    shop.run(&["schemas", "register"]).well();
    let mut replica = Process::start(shop.command(&["consume"]));
    replica.until_ready();
    eventually("the older order is confirmed", || !shop.events("orders.confirmed").is_empty());
    replica.terminate();
    replica.ended().well();
}

#[test]
fn a_type_of_ones_own_must_stay_readable() {
    let shop = Shop::new();
    shop.run(&["schemas", "register"]).well();
    let file = shop.world.path("avro/orders.placed.avsc");
    std::fs::write(&file, PLACED.replace(r#""amount", "type": "long""#, r#""amount", "type": "int""#)).unwrap();
    let ended = shop.run(&["schemas", "register"]);
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("orders.placed.avsc") && ended.stdout.contains("amount"), "{}", ended.stdout);
}
