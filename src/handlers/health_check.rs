//! `HealthCheck`: COAFI's check of itself. Asks what it stands on, writes the registry entry `health/coafi`, and asks for a
//! notification when a part has become unhealthy, and when it is healthy again.
//!
//! That the check comes at all says that Kafka, the scheduler and a consumer work; so an entry whose `checkedAt` is old says
//! that they do not. While the database is down nothing can be written: `/ready` and the escalation of outages tell of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dispatch::job::Job;
use crate::dispatch::{
    Context, DEPENDENCIES, Failure, Handler, NOTIFICATIONS_TOPIC, NewEvent, Registration, Success, ask, once,
};
use crate::engine::Dependency;
use crate::event::Event;
use crate::notify::Severity;
use crate::schema::payloads::NotificationRequested;
use crate::schema::{Encoder, Payload as _};
use crate::store::EntryChange;

/// The registry and the entry that say how COAFI is.
const REGISTRY: &str = "health";
const ENTRY: &str = "coafi";
const SOURCE: &str = "/coafi/health";
/// Of what a part says; a longer one is cut.
const ERROR_BYTES_MAX: usize = 500;

inventory::submit! {
    Registration {
        name: "health_check",
        summary: "checks what COAFI stands on, and asks for a notification when that changes",
        build: |_| Ok(Arc::new(HealthCheckHandler)),
    }
}

struct HealthCheckHandler;

/// There are none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

/// How COAFI was when it was last checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    healthy: bool,
    /// When the check was due.
    pub(super) checked_at: Timestamp,
    /// By the names of what routes declare as dependencies.
    pub(super) parts: BTreeMap<String, Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    healthy: bool,
    /// The check that found it so first.
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<String>,
}

#[async_trait]
impl Handler for HealthCheckHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let job: Job<Settings> = Job::of(event, context, "none").await?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let stored = context.services.store.entry(REGISTRY, ENTRY).await?;
        let version = stored.as_ref().map_or(0, |entry| entry.version);
        let known = stored.and_then(|entry| serde_json::from_value::<Health>(entry.data).ok());
        if let Some(known) = known.as_ref().filter(|known| known.checked_at > job.due) {
            let message = format!("{} is known, which is later", known.checked_at);
            return once::commit(event, context, Vec::new(), Success { message, ..Success::default() }).await;
        }
        // Known from the first check on: it is there when the schema registry is away.
        let encoder = context.services.codec.encoder(NOTIFICATIONS_TOPIC).await;
        let health = Health::look(context, job.due, known.as_ref()).await;
        let changed: Vec<_> =
            health.parts.iter().filter(|(name, part)| part.has_changed(name, known.as_ref())).collect();
        let mut emit = Vec::with_capacity(changed.len());
        if !changed.is_empty() {
            let encoder = encoder?;
            for (name, part) in changed {
                emit.push(notification(event, context, name, part, &encoder)?);
            }
        }
        let data = serde_json::to_value(&health).expect("texts, times and booleans are JSON");
        // What was read above must still hold when it is written; else the attempt is made again.
        let change = EntryChange {
            expected_version: Some(version),
            ..EntryChange::new(REGISTRY, ENTRY.to_owned(), Some(data.clone()), once::utids(event))
        };
        let message = if health.healthy { "healthy".to_owned() } else { "unhealthy".to_owned() };
        once::commit(event, context, vec![change], Success { message, data, emit, ..Success::default() }).await
    }
}

impl Health {
    async fn look(context: &Context<'_>, checked_at: Timestamp, known: Option<&Self>) -> Self {
        let mut parts = BTreeMap::new();
        for name in DEPENDENCIES {
            let answer = ask(context.services, &Dependency::new(name)).await;
            let error = answer.err().map(|error| error[..error.floor_char_boundary(ERROR_BYTES_MAX)].to_owned());
            let healthy = error.is_none();
            let before = known.and_then(|known| known.parts.get(name)).filter(|before| before.healthy == healthy);
            let since = before.map_or(checked_at, |before| before.since);
            parts.insert(name.to_owned(), Part { healthy, since, error });
        }
        Self { healthy: parts.values().all(|part| part.healthy), checked_at, parts }
    }
}

impl Part {
    const fn status(&self) -> &'static str {
        if self.healthy { "healthy" } else { "unhealthy" }
    }

    pub(super) fn in_words(&self) -> String {
        let error = self.error.as_ref().map(|error| format!(": {error}"));
        format!("{}{}", self.status(), error.unwrap_or_default())
    }

    /// Of one that was never checked nobody thinks that it is unhealthy.
    fn has_changed(&self, name: &str, known: Option<&Health>) -> bool {
        let before = known.and_then(|known| known.parts.get(name));
        self.healthy != before.is_none_or(|before| before.healthy)
    }
}

/// How COAFI was when it was last checked, if it ever was.
///
/// # Errors
/// As the store.
pub(super) async fn known(context: &Context<'_>) -> Result<Option<Health>, Failure> {
    let stored = context.services.store.entry(REGISTRY, ENTRY).await?;
    Ok(stored.and_then(|entry| serde_json::from_value(entry.data).ok()))
}

fn notification(
    event: &Event,
    context: &Context<'_>,
    name: &str,
    part: &Part,
    encoder: &Encoder<NotificationRequested>,
) -> Result<NewEvent, Failure> {
    let group = &context.fence.group;
    let key = format!("{REGISTRY}/{group}/{name}");
    let requested = NotificationRequested {
        title: format!("{name} is {}", part.status()),
        text: part.error.clone().unwrap_or_default(),
        template: String::new(),
        data: json!({"group": group, "part": name, "since": part.since}).to_string(),
        severity: Severity::Critical.name().to_owned(),
        source: SOURCE.to_owned(),
        dedup_key: key.clone(),
        group_key: String::new(),
        channels: Vec::new(),
        resolved: part.healthy,
        url: String::new(),
        utids: event.utids().map(str::to_owned).collect(),
    };
    let mut data = Vec::new();
    encoder.encode(&requested, &mut data)?;
    Ok(NewEvent {
        topic: NOTIFICATIONS_TOPIC.to_owned(),
        id: format!("{}/{}/{name}", event.source(), event.id()),
        source: SOURCE.to_owned(),
        event_type: NotificationRequested::EVENT_TYPE.to_owned(),
        subject: Some(name.to_owned()),
        key,
        workflow_hops: None,
        tenant: None,
        data: data.into(),
    })
}

#[cfg(test)]
mod tests;
