//! Requests as the API publishes them, and as anybody could who may write to the topic.

use serde_json::{Value, json};

use super::*;
use crate::engine::Class;
use crate::handlers::git_commit::tests::world::World;
use crate::registry::dependants::Subscription;
use crate::registry::{Rule, Rules, dependants, documents};
use crate::schema::Shape;

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
async fn a_precondition_of_http_fails_with_its_own_status() {
    let mut world = World::new().await;
    let mut send = async |conditions: Value, expected: Result<i64, u16>| -> () {
        world.offset += 1;
        let mut body = json!({"registryId": "parts", "entryId": "wing-7", "data": {"n": world.offset}});
        body.as_object_mut().unwrap().extend(conditions.as_object().unwrap().clone());
        let done = post(&world, "/registry/update", &body).await;
        let previous = done.map(|success| change(&success).1.as_i64().unwrap());
        assert_eq!(previous.map_err(|failure| failure.status.unwrap()), expected, "{conditions}");
    };
    send(json!({"ifMatch": "*"}), Err(412)).await;
    send(json!({"ifNoneMatch": "*"}), Ok(0)).await;
    send(json!({"ifNoneMatch": "*"}), Err(412)).await;
    send(json!({"ifMatch": [7]}), Err(412)).await;
    send(json!({"ifMatch": [7, 1]}), Ok(1)).await;
    send(json!({"ifMatch": "*"}), Ok(2)).await;
    send(json!({"ifMatch": []}), Err(412)).await;
}

#[tokio::test]
async fn what_holds_of_a_registry_holds_of_each_request() {
    let mut world = World::new().await;
    let shape = Shape::compile(&json!({"required": ["status"]})).unwrap();
    let rule = Rule { shape: Some(shape), requires_match: true, ..Rule::default() };
    world.services.registries = Arc::new(Rules::new([("parts".to_owned(), rule)].into()));
    let status = |result: Result<Success, Failure>| result.map(drop).map_err(|failure| (failure.code, failure.status));
    let refused = update(&world, json!({}), Some(0)).await.unwrap_err();
    assert_eq!((refused.code, refused.errors.len()), ("invalid_entry", 1), "{refused}");
    let unconditional = update(&world, json!({"status": 1}), None).await;
    assert_eq!(status(unconditional), Err(("precondition_required", Some(428))));
    assert_eq!(status(update(&world, json!({"status": 1}), Some(0)).await), Ok(()));
    world.offset = 1;
    assert_eq!(status(update(&world, Value::Null, Some(1)).await), Ok(()), "a deletion has no shape");
}

#[tokio::test]
async fn the_workflow_is_told_whom_to_tell() {
    let mut world = World::new().await;
    let put = async |world: &World, entry: &str, data: Value| {
        let body = json!({"registryId": dependants::REGISTRY, "entryId": entry, "data": data});
        post(world, "/registry/update", &body).await.unwrap();
    };
    put(&world, "parts", json!({"subscribers": ["everything", "twice"]})).await;
    for (offset, (pattern, subscriber)) in [("wing-*", "wings"), ("tail-*", "tails"), ("wing-7", "twice")].into_iter().enumerate() {
        world.offset = i64::try_from(offset).unwrap() + 1;
        let (registry, entries) = ("parts".to_owned(), pattern.to_owned());
        let channel = (subscriber == "wings").then(|| "chat".to_owned());
        let subscription = Subscription { registry, entries, subscriber: subscriber.to_owned(), channel };
        put(&world, &subscription.name(), serde_json::to_value(&subscription).unwrap()).await;
    }
    world.offset = 9;
    let success = update(&world, json!({}), None).await.unwrap();
    let input: Value = serde_json::from_str(&world.decode_request(&success.emit[0]).await.input).unwrap();
    assert_eq!(input["dependants"], json!(["everything", "twice", "wings"]));
    assert_eq!(input["channels"], json!(["chat"]));
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
