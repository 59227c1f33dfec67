//! What clients may rely on in the document.

use super::*;
use crate::http::api::cloud_events;

fn made() -> Value {
    document(&Catalogue::build(&[]).unwrap())
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = made();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in &found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_is_told_apart_and_says_what_it_takes_and_how_it_refuses() {
    let document = made();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/registry/update") && paths.contains_key(ingest::PATH), "{paths:?}");
    let mut ids = Vec::new();
    for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(!ids.contains(&id), "{id} is there twice");
        ids.push(id);
        for member in ["summary", "description", "tags"] {
            assert!(!operation[member].is_null(), "{id} has no {member}");
        }
        for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            assert!(!content["example"].is_null(), "{id} has no example of {media}");
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter["description"].is_string(), "{id}: {parameter}");
        }
        for status in ALWAYS {
            let response = &operation["responses"][status.to_string()]["$ref"];
            let response = document.pointer(&response.as_str().unwrap()[1..]).unwrap();
            assert!(response["content"]["application/problem+json"]["example"].is_object(), "{id}: {response}");
        }
    }
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    for required in document["security"].as_array().unwrap() {
        assert!(required.as_object().unwrap().keys().all(|name| schemes.contains_key(name)), "{required}");
    }
}

/// The schema is for clients, the code is what checks: they must not tell two stories.
#[test]
fn the_schema_of_events_says_what_the_code_does() {
    let schema = crate::schema::Shape::compile(&event_file()).unwrap();
    let check = |event: &Value, expected: bool| {
        let media = axum::http::HeaderValue::from_static(STRUCTURED);
        let headers = [(axum::http::header::CONTENT_TYPE, media)].into_iter().collect();
        let read = cloud_events::read(&headers, event.to_string().into());
        let errors = schema.errors(event);
        assert_eq!((errors.is_empty(), read.is_ok()), (expected, expected), "{event}: {errors:?}, {read:?}");
    };
    let example = event_file()["examples"][0].clone();
    check(&example, true);
    let with = |member: &str, value: Value| {
        let mut event = example.clone();
        event[member] = value;
        event
    };
    for (member, value, expected) in [
        ("id", json!(""), false),
        ("id", json!("a\u{7}b"), false),
        ("source", json!("/coafi/api"), false),
        ("source", json!("/coafied"), true),
        ("source", json!("a b"), false),
        ("source", json!("https://user@host:80/a?b=c#d"), true),
        ("time", json!("2026-01-01T00:00:00.5+02:00"), true),
        ("extensions", json!({"seq": 7}), true),
        ("extensions", json!({"id": "x"}), false),
        ("custom", json!(true), true),
        ("custom", json!([]), false),
        ("Custom", json!("x"), false),
        ("data", json!([1, null]), true),
        ("data_base64", json!("AAE="), false),
    ] {
        check(&with(member, value), expected);
    }
}
