//! The check over a real store and the built-in registry, with an artifact store that comes and goes.

use object_store::local::LocalFileSystem;
use serde_json::Value;

use super::*;
use crate::engine::Class;
use crate::handlers::git_commit::tests::world::World;

const ARTIFACTS: &str = Dependency::ARTIFACTS;

async fn check(world: &mut World, second: i64) -> Success {
    world.offset += 1;
    let due = second * 1_000;
    let fired = json!({"schedule": "health", "dueAt": due, "firedAt": due, "reason": "fired", "data": "{}"});
    world.handle_by(&HealthCheckHandler, "HealthCheck", &fired).await.unwrap()
}

async fn stored(world: &World) -> Value {
    world.store.entry(REGISTRY, ENTRY).await.unwrap().unwrap().data
}

#[tokio::test]
async fn who_becomes_unhealthy_is_told_of_once_and_once_when_it_is_back() {
    let mut world = World::new().await;
    let first = check(&mut world, 1).await;
    assert_eq!((&*first.message, first.emit.len()), ("healthy", 0));
    assert_eq!(stored(&world).await["parts"].as_object().unwrap().len(), DEPENDENCIES.len());

    let directory = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
    let there = std::mem::replace(&mut world.services.artifacts, Arc::new(store));
    // A file where the store needs its directory.
    let gone = directory.path().to_owned();
    drop(directory);
    std::fs::write(&gone, "in the way").unwrap();
    let down = check(&mut world, 2).await;
    assert_eq!((&*down.message, down.emit.len()), ("unhealthy", 1));
    assert_eq!(check(&mut world, 2).await, down, "handled twice, done once");
    let said = world.decode_json(&down.emit[0]).await;
    assert_eq!((&said["title"], &said["resolved"]), (&json!("artifacts is unhealthy"), &json!(false)));
    assert!(!said["text"].as_str().unwrap().is_empty(), "{said}");
    assert_eq!(check(&mut world, 3).await.emit, [], "nothing has changed");
    assert_eq!(stored(&world).await["parts"][ARTIFACTS]["since"], "1970-01-01T00:00:02Z");

    world.services.artifacts = there;
    std::fs::remove_file(gone).unwrap();
    let back = check(&mut world, 4).await;
    assert_eq!((&*back.message, back.emit.len()), ("healthy", 1));
    assert_eq!(world.decode_json(&back.emit[0]).await["resolved"], true);

    let late = check(&mut world, 1).await;
    assert!(late.message == "healthy" && late.emit.is_empty(), "the first check's result");
    let late = check(&mut world, 0).await;
    assert!(late.message.contains("which is later"), "{}", late.message);
    assert_eq!(stored(&world).await["checkedAt"], "1970-01-01T00:00:04Z");
}

#[tokio::test]
async fn there_are_no_settings() {
    let world = World::new().await;
    let fired = json!({"schedule": "h", "dueAt": 0, "firedAt": 0, "reason": "fired", "data": "{\"a\": 1}"});
    let failure = world.handle_by(&HealthCheckHandler, "HealthCheck", &fired).await.unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Permanent, "invalid_job"));
}
