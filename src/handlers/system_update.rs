//! `SystemUpdateNotification` of another domain: keeps the registry of its systems. What was sent before what is known changes
//! nothing, however late it comes.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;

use crate::dispatch::{Context, Failure, Handler, Registration, Success, once, registry_changes};
use crate::event::Event;
use crate::registry::systems::{self, System};
use crate::schema::payloads::FederatedMessage;

/// Of each text of a notification.
const TEXT_BYTES_MAX: usize = 256;

inventory::submit! {
    Registration {
        name: "system_update",
        summary: "keeps the registry of other domains' systems: version and status",
        build: |_| Ok(Arc::new(SystemUpdateHandler)),
    }
}

struct SystemUpdateHandler;

/// What a notification says; other members are the domain's own.
#[derive(Deserialize)]
struct Notification {
    system: String,
    version: Option<String>,
    status: Option<String>,
}

#[async_trait]
impl Handler for SystemUpdateHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let message: FederatedMessage = context.services.codec.decode(event).await?;
        let notification = Notification::read(&message.payload)?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let Notification { system, version, status } = notification;
        let entry = systems::entry(&message.source_domain, &system);
        let stored = context.services.store.entry(systems::REGISTRY, &entry).await?;
        let at = stored.as_ref().map_or(0, |entry| entry.version);
        let known: Option<System> = stored.and_then(|entry| serde_json::from_value(entry.data).ok());
        let success = |message: String| Success { message, ..Success::default() };
        if let Some(known) = known.as_ref().filter(|known| known.updated_at > message.sent_at) {
            let later = format!("{entry} is as message {} says, which was sent later", known.message_id);
            return once::commit(event, context, Vec::new(), success(later)).await;
        }
        let sent = Timestamp::from_millisecond(message.sent_at).unwrap_or_default().to_string();
        let same = known.filter(|known| (&known.version, &known.status) == (&version, &status));
        let new = System {
            domain: message.source_domain,
            system,
            version,
            status,
            since: same.map_or(sent, |known| known.since),
            updated_at: message.sent_at,
            message_id: message.message_id,
        };
        // What was read above must still hold when it is written; else the attempt is made again.
        let changes = vec![systems::put(&new, at, once::utids(event))];
        let success = success(format!("{entry} is up to date"));
        let success = registry_changes::told(event, context, &changes, success).await?;
        once::commit(event, context, changes, success).await
    }
}

impl Notification {
    fn read(payload: &str) -> Result<Self, Failure> {
        let invalid = |message: String| Failure::invalid("invalid_notification", message);
        let read: Self = serde_json::from_str(payload).map_err(|error| invalid(format!("the payload: {error}")))?;
        let texts = [("system", Some(&read.system)), ("version", read.version.as_ref()), ("status", read.status.as_ref())];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                let allowed = format!("1 to {TEXT_BYTES_MAX} bytes of printable text");
                return Err(invalid(format!("{name} is not allowed; allowed: {allowed}")));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Class;
    use crate::handlers::git_commit::tests::world::World;

    fn message(id: &str, sent_at: i64, payload: &Value) -> Value {
        json!({
            "messageId": id, "sourceDomain": "aero", "messageType": "SystemUpdateNotification", "sentAt": sent_at,
            "payload": payload.to_string(), "authentication": {"method": "signature", "keyId": "aero-1"},
        })
    }

    async fn handle(world: &mut World, id: &str, sent_at: i64, version: &str) -> Success {
        world.offset += 1;
        let message = message(id, sent_at, &json!({"system": "telemetry", "version": version, "more": [1]}));
        world.handle_by(&SystemUpdateHandler, "SystemUpdateNotification", &message).await.unwrap()
    }

    async fn stored(world: &World) -> System {
        let entry = world.store.entry(systems::REGISTRY, "aero/telemetry").await.unwrap().unwrap();
        serde_json::from_value(entry.data).unwrap()
    }

    #[tokio::test]
    async fn a_system_is_as_its_newest_notification_says() {
        let mut world = World::new().await;
        handle(&mut world, "m-1", 1_000, "1.0").await;
        let first = stored(&world).await;
        assert_eq!((first.version.as_deref(), &*first.since), (Some("1.0"), "1970-01-01T00:00:01Z"));
        handle(&mut world, "m-3", 3_000, "2.0").await;
        let late = handle(&mut world, "m-2", 2_000, "1.5").await;
        assert!(late.message.contains("message m-3 says, which was sent later"), "{}", late.message);
        let known = stored(&world).await;
        assert_eq!((known.version.as_deref(), &*known.message_id), (Some("2.0"), "m-3"));
        handle(&mut world, "m-4", 4_000, "2.0").await;
        let same = stored(&world).await;
        assert_eq!((&*same.since, same.updated_at), ("1970-01-01T00:00:03Z", 4_000), "nothing has changed since");
    }

    #[tokio::test]
    async fn a_notification_that_says_nothing_is_invalid() {
        let world = World::new().await;
        for payload in [json!({}), json!({"system": ""}), json!({"system": "x".repeat(257)}), json!([]), json!({"system": 7})] {
            let bad = message("m", 0, &payload);
            let failure = world.handle_by(&SystemUpdateHandler, "SystemUpdateNotification", &bad).await.unwrap_err();
            assert_eq!((failure.class, failure.code), (Class::Invalid, "invalid_notification"), "{payload}");
        }
    }
}
