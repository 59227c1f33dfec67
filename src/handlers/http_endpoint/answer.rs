//! What a 2xx answer brings: nothing, or CloudEvents in any of HTTP's modes, which become derived events; or JSON, which whoever
//! waits for the event's end is given.

use serde::Deserialize;

use super::failing::excerpt;
use crate::dispatch::replies::wants_reply;
use crate::dispatch::{Context, Failure, NewEvent, Reply, Success};
use crate::event::incoming::{self, Incoming, NotRead, is_json};
use crate::event::{Attribute, Event};
use crate::outgoing::{Answer, Endpoint};

/// Derived events of one answer: they are in one transaction with the outcome.
const EVENTS_MAX: usize = 100;
/// Of the message that an answer brings for the outcome.
const MESSAGE_CHARS_MAX: usize = 500;

/// An answer that is no event may say something.
#[derive(Deserialize)]
struct Said {
    message: String,
}

/// # Errors
/// Permanent: what is answered are no events that can be emitted. Systemic: their schemas cannot be had.
pub(super) async fn read(
    event: &Event,
    context: &Context<'_>,
    endpoint: &Endpoint,
    answer: Answer,
) -> Result<Success, Failure> {
    let name = &endpoint.settings().name;
    let status = answer.status.as_u16();
    let headers: Vec<(&str, &[u8])> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let message = format!("{name} answered {status}");
    let events = match incoming::read(headers.iter().copied(), answer.body.clone()) {
        Ok(events) => events,
        // No event, and not meant as one.
        Err(NotRead::NoEvent(_)) if !means_events(&headers) => {
            let said = serde_json::from_slice::<Said>(&answer.body).ok();
            let said = said.map(|said| said.message.chars().take(MESSAGE_CHARS_MAX).collect());
            // Kept with the outcome, so only for somebody who waits for it.
            let body = serde_json::from_slice(&answer.body).ok().filter(|_| wants_reply(event));
            let reply = body.map(|body| Reply { status: 200, body });
            return Ok(Success { message: said.unwrap_or(message), reply, ..Success::default() });
        }
        Err(error) => return Err(bad(name, &error.to_string())),
    };
    if events.len() > EVENTS_MAX {
        return Err(bad(name, &format!("there are {} events; allowed: {EVENTS_MAX}", events.len())));
    }
    let mut emit = Vec::with_capacity(events.len());
    for new in events {
        emit.push(derived(event, context, endpoint, new).await?);
    }
    Ok(Success { message, emit, ..Success::default() })
}

/// A format of events that is not taken is a mistake that somebody should hear of.
fn means_events(headers: &[(&str, &[u8])]) -> bool {
    let mut media = headers.iter().filter(|(name, _)| *name == "content-type");
    media.any(|(_, value)| value.to_ascii_lowercase().starts_with(b"application/cloudevents"))
}

fn bad(name: &str, why: &str) -> Failure {
    Failure::permanent("endpoint_answer_invalid", format!("the answer of {name}: {why}")).about(name)
}

async fn derived(
    event: &Event,
    context: &Context<'_>,
    endpoint: &Endpoint,
    new: Incoming,
) -> Result<NewEvent, Failure> {
    let settings = endpoint.settings();
    let (name, event_type) = (&settings.name, &new.event_type);
    let Some(topic) = settings.emits.get(event_type) else {
        let listed: Vec<&str> = settings.emits.keys().map(String::as_str).collect();
        let listed = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
        let why = format!("event {:?} is of type {event_type:?}; allowed by emits: {listed}", new.id);
        return Err(bad(name, &why));
    };
    let data = match &new.content_type {
        Some(media) if is_json(media) => {
            serde_json::from_slice(&new.data).map_err(|error| bad(name, &format!("event {:?}: {error}", new.id)))?
        }
        _ => {
            let why = format!("event {:?} has no JSON data, but {:?}", new.id, excerpt(&new.data));
            return Err(bad(name, &why));
        }
    };
    let data =
        context.services.codec.encode_json(topic, event_type, &data).await.map_err(|failure| failure.about(name))?;
    let subject = new.others.get(Attribute::Subject.name()).cloned();
    let key = new.others.get(Attribute::PartitionKey.name()).or(subject.as_ref()).cloned();
    Ok(NewEvent {
        tenant: None,
        topic: topic.clone(),
        source: new.source,
        event_type: new.event_type,
        key: key.unwrap_or_else(|| key_of(event)),
        id: new.id,
        subject,
        workflow_hops: None,
        data,
    })
}

/// The handled event's, so that what follows from it stays in its order.
fn key_of(event: &Event) -> String {
    let key = event.record().key().and_then(|key| std::str::from_utf8(key).ok());
    key.or_else(|| event.attribute(Attribute::PartitionKey)).unwrap_or_else(|| event.id()).to_owned()
}
