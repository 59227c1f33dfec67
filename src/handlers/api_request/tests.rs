//! Requests as the API publishes them, and as anybody could who may write to the topic.

use serde_json::{Value, json};

use super::*;
use crate::engine::Class;
use crate::handlers::git_commit::tests::world::World;
use crate::registry::documents;

fn request(endpoint: &str, method: &str, body: &Value) -> Value {
    json!({
        "endpoint": endpoint, "method": method, "requestId": "r", "body": body.to_string(), "principal": "key:a",
        "receivedAt": 0,
    })
}

async fn post(world: &World, endpoint: &str, body: &Value) -> Result<Success, Failure> {
    world.handle_by(&ApiRequestHandler, "api.request", &request(endpoint, "POST", body)).await
}

async fn update(world: &World, data: Value, expected: Option<i64>) -> Result<Success, Failure> {
    let body = json!({"registryId": "parts", "entryId": "wing-7", "data": data, "expectedVersion": expected});
    post(world, "/registry/update", &body).await
}

fn change(success: &Success) -> (Value, Value) {
    let body = &success.reply.as_ref().unwrap().body;
    (body["updateResult"]["change"].clone(), body["updateResult"]["previousVersion"].clone())
}

#[tokio::test]
async fn an_entry_is_created_updated_and_deleted_and_each_time_a_workflow_is_asked_for() {
    let mut world = World::new().await;
    let mut workflows = Vec::new();
    for (offset, (data, expected)) in
        [(json!({"n": 1}), ("created", 0)), (json!({"n": 2}), ("updated", 1)), (Value::Null, ("deleted", 2))]
            .into_iter()
            .enumerate()
    {
        world.offset = i64::try_from(offset).unwrap();
        let success = update(&world, data.clone(), None).await.unwrap();
        assert_eq!(change(&success), (json!(expected.0), json!(expected.1)));
        assert_eq!(update(&world, data.clone(), None).await.unwrap(), success, "a second run gives the same");
        let [requested] = &success.emit[..] else { panic!("{success:?}") };
        assert_eq!((&*requested.topic, Some(&requested.id)), ("coafi.workflow", success.workflow_id.as_ref()));
        workflows.push(requested.id.clone());
        let stored = world.store.entry("parts", "wing-7").await.unwrap();
        assert_eq!(stored.map_or(Value::Null, |entry| entry.data), data);
    }
    workflows.dedup();
    assert_eq!(workflows.len(), 3);
}

#[tokio::test]
async fn a_version_that_is_not_the_expected_one_is_a_conflict() {
    let mut world = World::new().await;
    update(&world, json!({"n": 1}), Some(0)).await.unwrap();
    world.offset = 1;
    let conflict = update(&world, json!({"n": 2}), Some(0)).await.unwrap_err();
    assert_eq!((conflict.class, conflict.code, conflict.status), (Class::Invalid, "version_conflict", Some(409)));
    update(&world, json!({"n": 3}), Some(1)).await.unwrap();
}

#[tokio::test]
async fn a_workflow_is_asked_for_with_its_input() {
    let world = World::new().await;
    let body = json!({"workflowName": "W", "inputPayload": {"a": 1}});
    let success = post(&world, "workflow/start", &body).await.unwrap();
    assert_eq!(success.reply.as_ref().unwrap().body["workflowName"], "W");
    assert_eq!(post(&world, "workflow/start", &body).await.unwrap(), success);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let world = World::new().await;
    let check = async |endpoint: &str, body: Value, code: &str, said: &str| {
        let failure = post(&world, endpoint, &body).await.unwrap_err();
        assert_eq!((failure.class.clone(), failure.code), (Class::Invalid, code), "{failure}");
        assert!(failure.message.contains(said), "{failure}");
    };
    let update = |registry: &str, data: Value| json!({"registryId": registry, "entryId": "e", "data": data});
    check("workflow/start", json!({}), "invalid_body", "workflowName is missing").await;
    check("workflow/start", json!({"workflowName": "W", "inputPayload": 7}), "invalid_body", "invalid type").await;
    check("registry/update", json!({"registryId": "r", "entryId": "e"}), "invalid_body", "missing field `data`").await;
    check("registry/update", update("", json!({})), "invalid_body", "registryId is missing").await;
    check("registry/update", update(&"x".repeat(300), json!({})), "invalid_body", "at most 256 bytes").await;
    check("registry/update", update("r", json!([])), "invalid_body", "an object").await;
    check("registry/update", update(documents::REGISTRY, json!({})), "registry_not_writable", "kept by a handler").await;
    check("registry/drop", json!({}), "unsupported_endpoint", "POST registry/update").await;
    let get = request("registry/update", "GET", &json!({}));
    let failure = world.handle_by(&ApiRequestHandler, "api.request", &get).await.unwrap_err();
    assert_eq!((failure.code, failure.status), ("unsupported_method", Some(405)));
}
