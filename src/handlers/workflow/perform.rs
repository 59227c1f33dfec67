//! Does what a step says. What the world cannot take is the step's fault; a world that does not answer is nobody's, and the
//! event is tried again.

use serde_json::{Value, json};

use super::{document, events, post};
use super::turn::Effects;
use crate::dispatch::{Context, Failure, NewEvent, once};
use crate::engine::Class;
use crate::event::Event;
use crate::handlers::notification::events as notification;
use crate::registry::{KEPT_BY_HANDLERS, MAX_NAME_BYTES};
use crate::schema::Payload as _;
use crate::schema::payloads::NotificationRequested;
use crate::store::EntryChange;
use crate::workflow::{Action, Definition, Fault, Path, Run, action};

/// The output of one attempt with its effects, or its fault.
///
/// # Errors
/// Systemic and transient failures, which no attempt is used up for.
pub(super) async fn perform(
    context: &Context<'_>,
    event: &Event,
    definition: &Definition,
    run: &Run,
    step: &Path,
) -> Result<Result<(Value, Effects), Fault>, Failure> {
    let action = match action(definition, run, step) {
        Ok(action) => action,
        Err(fault) => return Ok(Err(fault)),
    };
    match action {
        Action::Http { endpoint, event_type, data } => {
            let asked = post::Asked { endpoint: &endpoint, event_type: &event_type, data: &data };
            Ok(post::post(context, event, run, asked).await?.map(|output| (output, Effects::default())))
        }
        Action::Nothing(output) => Ok(Ok((output, Effects::default()))),
        Action::Emit { topic, event_type, subject, key, data } => {
            let encoded = match context.services.codec.encode_json(&topic, &event_type, &data).await {
                Ok(encoded) => encoded,
                Err(failure) if is_passing(&failure) => return Err(failure),
                Err(failure) => return Ok(Err(Fault::new(failure.code, failure.message))),
            };
            // Without the attempt: a step emits one event, however often it is tried.
            let id = format!("{}/{step}/event", run.id);
            let output = json!({"id": id, "topic": topic, "type": event_type});
            let key = key.unwrap_or_else(|| run.id.clone());
            let source = events::source(&run.workflow);
            let emit = vec![NewEvent {
                topic,
                id,
                source,
                event_type,
                subject,
                key,
                workflow_hops: Some(run.hops),
                tenant: None,
                data: encoded,
            }];
            Ok(Ok((output, Effects { emit, ..Effects::default() })))
        }
        Action::RegistryUpdate { registry, entry, data, expected_version } => {
            if let Some(name) = [&registry, &entry].into_iter().find(|name| name.len() > MAX_NAME_BYTES) {
                let message = format!("a name has {} bytes; allowed: at most {MAX_NAME_BYTES}", name.len());
                return Ok(Err(Fault::new("name_too_long", message)));
            }
            if KEPT_BY_HANDLERS.contains(&registry.as_str()) {
                let message = format!("registry {registry:?} is kept by a handler, which alone writes to it");
                return Ok(Err(Fault::new("registry_not_writable", message)));
            }
            let errors = context.services.registries.errors(&registry, &data);
            if !errors.is_empty() {
                let message = format!("the data does not fit the schema of registry {registry:?}");
                return Ok(Err(Fault { errors, ..Fault::new("invalid_entry", message) }));
            }
            if let Some(expected) = expected_version {
                let stored = context.services.store.entry(&registry, &entry).await?;
                let version = stored.map_or(0, |entry| entry.version);
                if expected != version {
                    let message =
                        format!("{registry}/{entry} is at version {version}, expected {expected} (0: it does not exist)");
                    return Ok(Err(Fault::new("version_conflict", message)));
                }
            }
            let output = json!({"registry": registry, "entry": entry});
            let change = EntryChange {
                registry,
                entry,
                data: Some(data).filter(|data| !data.is_null()),
                utids: once::utids(event),
                principal: None,
                // Where the step expects a version it must still be that one when it is written; else the event is handled
                // again. Where it does not, nothing that was read may matter: runs that write to one entry at once would
                // refuse each other until their attempts are used up.
                expected_version,
                follows: None,
                position: None,
            };
            Ok(Ok((output, Effects { changes: vec![change], ..Effects::default() })))
        }
        Action::Notify(_) if context.services.notifier.is_without_topic() => {
            tracing::warn!(workflow = run.workflow, step = %step, "nobody is told: {} is not declared", notification::TOPIC);
            Ok(Ok((json!({"id": null}), Effects::default())))
        }
        Action::Notify(data) => {
            let (topic, event_type) = (notification::TOPIC.to_owned(), NotificationRequested::EVENT_TYPE.to_owned());
            let encoded = match context.services.codec.encode_json(&topic, &event_type, &data).await {
                Ok(encoded) => encoded,
                Err(failure) if is_passing(&failure) => return Err(failure),
                Err(failure) => return Ok(Err(Fault::new(failure.code, failure.message))),
            };
            // As of an event that a step emits: one, however often it is tried.
            let id = format!("{}/{step}/notification", run.id);
            let emit = vec![NewEvent {
                topic,
                id: id.clone(),
                source: events::source(&run.workflow),
                event_type,
                subject: Some(run.workflow.clone()),
                key: run.id.clone(),
                workflow_hops: Some(run.hops),
                tenant: None,
                data: encoded,
            }];
            Ok(Ok((json!({"id": id}), Effects { emit, ..Effects::default() })))
        }
        Action::Generate { name, format, text } => {
            let output = document::write(context, run, step, (&name, format, text)).await?;
            Ok(Ok((output, Effects::default())))
        }
        Action::RegistryRead { registry, entry } => {
            let stored = context.services.store.entry(&registry, &entry).await?;
            let output = match stored {
                Some(entry) => json!({"found": true, "version": entry.version, "data": entry.data}),
                None => json!({"found": false, "version": 0, "data": null}),
            };
            Ok(Ok((output, Effects::default())))
        }
    }
}

const fn is_passing(failure: &Failure) -> bool {
    matches!(failure.class, Class::Systemic(_) | Class::Transient)
}
