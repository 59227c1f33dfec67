//! `drill`: does what the event's data says, for game days and chaos tests.
//!
//! Its effects are those of any handler, made so that somebody outside can count them: the derived event has an id of its
//! own per event, and the key's registry entry carries the sequence, the number of writes so far and the epoch that it was
//! written under. Only topics that a game day declares are routed to it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::dispatch::{Context, Failure, Handler, NewEvent, Registration, Success, once};
use crate::event::Event;
use crate::schema::Payload as _;
use crate::schema::payloads::{DrillAction, DrillStep};
use crate::store::EntryChange;

/// The registry of what drills have written; an entry is a key.
const REGISTRY: &str = "drill";
/// Where derived events go. Not an event's choice: events do not say where this process writes.
const DERIVED_TOPIC: &str = "drill.derived";
const SOURCE: &str = "/coafi/handlers/drill";

inventory::submit! {
    Registration {
        name: "drill",
        summary: "does what the event's data says; for game days and chaos tests",
        build: |_| Ok(Arc::new(Drill)),
    }
}

struct Drill;

#[async_trait]
impl Handler for Drill {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let step: DrillStep = context.services.codec.decode(event).await?;
        if i64::from(context.attempt) <= i64::from(step.times) {
            fail(step.action, context.attempt).await?;
        }
        let message = format!("{} {}", step.key, step.sequence);
        let emit = if step.emit { vec![derived(event, context, &step).await?] } else { Vec::new() };
        let success = Success { message, emit, ..Success::default() };
        if !step.write {
            return Ok(success);
        }
        if let Some(earlier) = once::earlier(event, context).await? {
            return Ok(earlier);
        }
        let change = written(context, &step, once::utids(event)).await?;
        once::commit(event, context, vec![change], success).await
    }
}

async fn fail(action: DrillAction, attempt: u32) -> Result<(), Failure> {
    match action {
        DrillAction::Ok => Ok(()),
        DrillAction::Transient => Err(Failure::transient("drill_transient", format!("attempt {attempt} is to fail"))),
        DrillAction::Permanent => Err(Failure::permanent("drill_permanent", "it is to fail for good")),
        DrillAction::Panic => panic!("drill: attempt {attempt} is to panic"),
        DrillAction::Hang => std::future::pending().await,
        DrillAction::Kill => {
            // Whoever looks after the process can tell by this that it was told to.
            tracing::error!(attempt, "drill: the event kills this process");
            std::process::abort()
        }
    }
}

/// The same for every run of the event (I9).
async fn derived(event: &Event, context: &Context<'_>, step: &DrillStep) -> Result<NewEvent, Failure> {
    let done = DrillStep { action: DrillAction::Ok, times: 0, emit: false, write: false, ..step.clone() };
    Ok(NewEvent {
        topic: DERIVED_TOPIC.to_owned(),
        id: format!("{}/derived", event.id()),
        source: SOURCE.to_owned(),
        event_type: DrillStep::EVENT_TYPE.to_owned(),
        subject: None,
        workflow_hops: None,
        tenant: None,
        key: step.key.clone(),
        data: context.services.codec.encode(DERIVED_TOPIC, &done).await?,
    })
}

/// The entry counts its own writes: one that is lost, repeated or made on an old state shows in its history.
async fn written(context: &Context<'_>, step: &DrillStep, utids: Option<String>) -> Result<EntryChange, Failure> {
    let before = context.services.store.entry(REGISTRY, &step.key).await?;
    let count = before.as_ref().and_then(|entry| entry.data.get("count")).and_then(Value::as_i64).unwrap_or(0);
    let fence = context.fence;
    let data = json!({
        "key": step.key, "sequence": step.sequence, "count": count + 1,
        "topic": fence.topic, "partition": fence.partition, "epoch": fence.epoch,
    });
    Ok(EntryChange {
        registry: REGISTRY.to_owned(),
        entry: step.key.clone(),
        data: Some(data),
        utids,
        principal: None,
        expected_version: Some(before.map_or(0, |entry| entry.version)),
        follows: None,
        // Every write of a key counts, whatever came before it.
        position: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Class;
    use crate::handlers::git_commit::tests::world::World;

    fn step(sequence: i64, action: &str, times: i32) -> Value {
        json!({"key": "k", "sequence": sequence, "action": action, "times": times, "emit": true, "write": true})
    }

    async fn handle(world: &World, data: &Value) -> Result<Success, Failure> {
        world.handle_by(&Drill, DrillStep::EVENT_TYPE, data).await
    }

    #[tokio::test]
    async fn effects_are_made_once_and_a_second_run_gives_the_same() {
        let world = World::new().await;
        let first = handle(&world, &step(1, "ok", 0)).await.unwrap();
        assert_eq!(handle(&world, &step(1, "ok", 0)).await.unwrap(), first);
        assert_eq!(first.emit.len(), 1);
        assert_ne!(handle(&world, &step(2, "ok", 0)).await.unwrap().emit[0].id, first.emit[0].id);
        let entry = world.store.entry(REGISTRY, "k").await.unwrap().unwrap();
        let epoch = world.fence.epoch;
        let expected = json!({
            "key": "k", "sequence": 2, "count": 2, "topic": world.fence.topic, "partition": 0, "epoch": epoch,
        });
        assert_eq!((entry.version, entry.data), (2, expected));
    }

    #[tokio::test]
    async fn it_fails_as_it_is_told_and_leaves_nothing() {
        let world = World::new().await;
        let class = async |action| handle(&world, &step(1, action, 1)).await.map_err(|failure| failure.class);
        assert_eq!(class("transient").await, Err(Class::Transient));
        assert_eq!(class("permanent").await, Err(Class::Permanent));
        assert_eq!(world.store.entry(REGISTRY, "k").await.unwrap(), None);
        // The first attempt is not among those that fail.
        assert!(handle(&world, &step(1, "transient", 0)).await.is_ok());
    }

    #[tokio::test]
    #[should_panic(expected = "drill: attempt 1 is to panic")]
    async fn it_panics_when_told() {
        let _ = handle(&World::new().await, &step(1, "panic", 1)).await;
    }

    #[tokio::test]
    async fn it_hangs_when_told() {
        let world = World::new().await;
        let data = step(1, "hang", 1);
        tokio::select! {
            biased;
            ended = handle(&world, &data) => panic!("{ended:?}"),
            // Far more turns than decoding takes.
            () = async { for _ in 0..1_000 { tokio::task::yield_now().await } } => {}
        }
    }
}
