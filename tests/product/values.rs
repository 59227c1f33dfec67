//! What may stand in a record's value.

use serde_json::json;

use crate::event::{attributes, framed, push_data};
use crate::http;
use crate::process::eventually;
use crate::stack::unique;
use crate::topic::{self, Record};
use crate::verdict::{Case, Place, check};
use crate::world::World;

const POISON: Place = Place::DeadLetter("poison");
/// No registry counts so far.
const UNKNOWN_SCHEMA: u32 = 0x7fff_fff0;
/// `max_message_bytes` of a world's topic.
const TOPIC_LIMIT: usize = 1 << 20;

#[test]
fn a_bad_value_is_dead_lettered_as_it_came() {
    let world = World::new("values");
    let good = world.pushes.encode(&push_data());
    let (datum, mut other_magic) = (&good[5..], good.clone());
    other_magic[0] = 1;
    let values = [
        ("an empty value", Some(Vec::new())),
        ("a tombstone", None),
        ("Avro that ends too early", Some(good[..good.len() - 3].to_vec())),
        ("a prefix without data", Some(good[..5].to_vec())),
        ("less than a prefix", Some(good[..4].to_vec())),
        ("random bytes", Some(noise(300))),
        ("random bytes behind a good prefix", Some(framed(world.pushes.id, &noise(300)))),
        ("another magic byte", Some(other_magic)),
        ("a schema id that nobody registered", Some(framed(UNKNOWN_SCHEMA, datum))),
        ("a writer's schema that cannot be read as ours", Some(incompatible(&world))),
        ("a schema of another event", Some(framed(world.commits.id, datum))),
    ];
    let case = |(what, value)| Case { what, record: Record { value, ..world.push("key") }, place: POISON };
    check(&world, values.into_iter().map(case).collect());
}

#[test]
fn a_large_record_is_as_good_as_any() {
    let world = World::new("large");
    let mut large = push_data();
    large["utids"] = vec!["u".repeat(1_000); 900].into();
    let fine = Record { value: Some(world.pushes.encode(&large)), ..world.push("key") };
    let no_route = Record { value: Some(noise(TOPIC_LIMIT)), ..attributes("no.route", "/product") };
    let dead = Record { value: Some(noise(TOPIC_LIMIT)), ..world.push("key") };
    check(
        &world,
        vec![
            Case { what: "900 KB", record: fine, place: Place::Processed },
            Case { what: "the largest dead letter", record: largest(&world, dead), place: POISON },
            Case { what: "the largest without a route", record: largest(&world, no_route), place: Place::Unprocessed },
        ],
    );
}

/// The record with as much of its value as the topic takes.
fn largest(world: &World, mut record: Record) -> Record {
    let probe = Record { key: Some("probe".into()), ..record.clone() };
    let mut value = record.value.take().unwrap();
    // In a topic that nobody consumes, with the same limit.
    let sized = unique("sized");
    topic::create(&world.stack.kafka, &sized, TOPIC_LIMIT);
    eventually("a size that fits", || {
        value.truncate(value.len() - 4);
        world.producer.try_send(&sized, &Record { value: Some(value.clone()), ..probe.clone() }).is_some()
    });
    Record { value: Some(value), key: Some("probe".into()), ..record }
}

/// Written with a schema of the same name whose `branch` is a number and which has no `repositoryUrl`.
fn incompatible(world: &World) -> Vec<u8> {
    let schema = json!({
        "type": "record", "name": "GitPushEventPayload", "namespace": "org.coafi.events",
        "fields": [{"name": "branch", "type": "int"}],
    });
    let url = format!("{}/subjects/{}-incompatible/versions", world.stack.registry, world.group);
    let answer = http::post(&url, &json!({"schema": schema.to_string()}).to_string()).expect("the registry answers");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    framed(u32::try_from(answer["id"].as_u64().unwrap()).unwrap(), &[14])
}

/// Always the same, without any order.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = crate::repositories::Random(42);
    (0..bytes).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}
