//! What becomes of a request, and what its caller is told.

use serde_json::{Value, json};

use super::{Api, RESULTS, TOPIC, accepted, update};
use crate::event::{Subject, attributes};
use crate::process::found;
use crate::topic::{Positions, Record, ends, read};
use crate::world::UNPROCESSED;

fn body_of(reply: &Value) -> Value {
    serde_json::from_str(reply["body"].as_str().unwrap()).unwrap()
}

fn brief(reply: &Value) -> (&str, i64) {
    (reply["outcome"].as_str().unwrap(), reply["status"].as_i64().unwrap())
}

#[test]
fn an_update_is_in_the_registry_a_workflow_is_asked_for_and_the_caller_is_told() {
    let api = Api::start("api_update");
    let workflows = ends(&api.world.stack.kafka, "coafi.workflow");
    let replica = api.replica();
    let id = accepted(&api.post("/registry/update", &update("wing-7", &json!({"status": "approved"}))));
    let reply = api.reply(&id);
    assert_eq!((brief(&reply), &reply["requestId"]), (("processed", 200), &json!(id)));
    let body = body_of(&reply);
    assert_eq!(body["updateResult"], json!({"change": "created", "previousVersion": 0, "version": 1}));
    let rows = api.world.database.number(
        "SELECT count(*) FROM registry_entry WHERE registry = 'parts' AND entry = 'wing-7' AND version = 1 \
         AND data = '{\"status\":\"approved\"}'",
    );
    assert_eq!(rows, 1);

    let requested = read(&api.world.stack.kafka, "coafi.workflow", &workflows);
    let of_ours = |read: &&crate::topic::Read| read.record.header("ce_causationid") == Some(&*id);
    let event = requested.iter().find(of_ours).expect("in the same transaction as the reply");
    assert_eq!(event.record.header("ce_id"), body["workflowId"].as_str());
    let subject =
        Subject::latest(&api.world.stack.registry, "coafi.workflow", "org.coafi.events.WorkflowRequestedEventPayload");
    let data = subject.decode(event.record.value.as_deref().unwrap());
    assert_eq!(data["workflow"], "RegistryUpdateNotificationWorkflow");
    let input: Value = serde_json::from_str(data["input"].as_str().unwrap()).unwrap();
    let expected = json!({"registryId": "parts", "entryId": "wing-7", "updateResult": body["updateResult"].clone(),
                          "dependants": [], "channels": []});
    assert_eq!(input, expected);

    let start = api.ask("POST", "/workflow/start", &[("X-API-Key", &api.limited)], r#"{"workflowName": "W"}"#);
    let started = api.reply(&accepted(&start));
    assert_eq!((brief(&started), &body_of(&started)["workflowName"]), (("processed", 200), &json!("W")));
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

#[test]
fn a_request_that_cannot_be_met_is_refused_and_no_dead_letter() {
    let api = Api::start("api_refused");
    let letters = ends(&api.world.stack.kafka, &format!("{TOPIC}.dlq"));
    let _replica = api.replica();
    accepted(&api.post("/registry/update", &update("a", &json!({}))));
    let mut late = update("a", &json!({"n": 2}));
    late["expectedVersion"] = 0.into();
    let id = accepted(&api.post("/registry/update", &late));
    let reply = api.reply(&id);
    assert_eq!(brief(&reply), ("refused", 409));
    assert_eq!(body_of(&reply)["type"], "urn:coafi:problem:version-conflict");
    let outcome =
        found("its outcome", || api.world.outcomes().into_iter().find(|o| o.event_id.as_deref() == Some(&id)));
    assert_eq!(&*outcome.outcome, "processed");
    assert_eq!(read(&api.world.stack.kafka, &format!("{TOPIC}.dlq"), &letters).len(), 0);
}

/// Such as only somebody writes who may write to the topic itself.
#[test]
fn what_is_no_request_is_put_away_and_the_caller_is_told() {
    let api = Api::start("api_poison");
    let letters = ends(&api.world.stack.kafka, &format!("{TOPIC}.dlq"));
    let _replica = api.replica();
    let send = |event_type: &str| {
        let event = attributes(event_type, "/product").with("ce_replyto", RESULTS);
        let id = event.header("ce_id").unwrap().to_owned();
        let record = Record { key: Some(b"k".to_vec()), value: Some(b"no Avro".to_vec()), ..event };
        api.world.producer.send_to(TOPIC, 0, &record);
        id
    };
    let (poison, unknown) = (send("api.request"), send("api.unheard-of"));
    assert_eq!(brief(&api.reply(&poison)), ("dead_lettered", 400));
    assert_eq!(brief(&api.reply(&unknown)), ("unprocessed", 501));
    assert_eq!(read(&api.world.stack.kafka, &format!("{TOPIC}.dlq"), &letters).len(), 1);
    let unprocessed = read(&api.world.stack.kafka, UNPROCESSED, &Positions::new());
    assert!(unprocessed.iter().any(|read| read.record.header("ce_id") == Some(&*unknown)));
}
