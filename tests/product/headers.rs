//! What may stand in a record's headers.

use serde_json::json;

use crate::event::push_data;
use crate::topic::Record;
use crate::verdict::{Case, Place, check};
use crate::world::World;

const POISON: Place = Place::DeadLetter("poison");

#[test]
fn headers_are_read_or_the_record_is_dead_lettered() {
    let world = World::new("headers");
    let push = || world.push("key");
    let json_push = |text: &str| Record { value: Some(text.into()), ..push().without("content-type") };
    let again = push();
    let cases = [
        ("no headers at all", Record { headers: Vec::new(), ..push() }, POISON),
        ("no id", push().without("ce_id"), POISON),
        ("an empty source", push().without("ce_source").with("ce_source", ""), POISON),
        ("two types", push().with("ce_type", "git.tag"), POISON),
        ("the same type twice", push().with("ce_type", "git.push"), Place::Processed),
        ("a subject that is not UTF-8", push().with("ce_subject", b"\xff\xfe"), POISON),
        ("a foreign header that is not UTF-8", push().with("x-foreign", b"\xff\xfe"), Place::Processed),
        ("a time that is none", push().with("ce_time", "yesterday, around noon"), POISON),
        ("a version that is not ours", push().without("ce_specversion").with("ce_specversion", "2.0"), POISON),
        (
            "JSON that says so",
            json_push(&push_data().to_string()).with("content-type", "application/json"),
            Place::Processed,
        ),
        ("Avro that says it is JSON", push().without("content-type").with("content-type", "application/json"), POISON),
        (
            "JSON that says it is Avro",
            json_push(&push_data().to_string()).with("content-type", "application/avro"),
            POISON,
        ),
        ("numbers of ours that are none", push().with("coafi-attempt", "many"), Place::Processed),
        ("the first of its id", again.clone(), Place::Processed),
        ("the second of its id", again, Place::Duplicate),
        ("a type that no route takes", push().without("ce_type").with("ce_type", "git.unheard-of"), Place::Unprocessed),
    ];
    check(&world, cases.into_iter().map(|(what, record, place)| Case { what, record, place }).collect());
}

#[test]
fn a_structured_event_is_as_good_as_a_binary_one() {
    let world = World::new("structured");
    let structured = |text: String| Record {
        key: Some("key".into()),
        value: Some(text.into()),
        headers: vec![("content-type".to_owned(), Some(b"application/cloudevents+json; charset=utf-8".to_vec()))],
    };
    let event = |id: &str, event_type: &str| json!({"specversion": "1.0", "id": id, "source": "/product", "type": event_type, "data": push_data()});
    let mut without_id = event("", "git.push");
    without_id.as_object_mut().unwrap().remove("id");
    let whole = event("structured-cut", "git.push").to_string();
    let cases = [
        ("an event", event("structured-1", "git.push").to_string(), Place::Processed),
        ("no id", without_id.to_string(), POISON),
        ("cut off", whole[..whole.len() / 2].to_owned(), POISON),
        ("no object", "[]".to_owned(), POISON),
        ("no JSON", "specversion: 1.0".to_owned(), POISON),
        ("no route", event("structured-2", "git.unheard-of").to_string(), Place::Unprocessed),
    ];
    let case = |(what, text, place)| Case { what, record: structured(text), place };
    check(&world, cases.into_iter().map(case).collect());
}
