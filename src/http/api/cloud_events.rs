//! CloudEvents of somebody else ([`Incoming`]) as requests bring them, and as Kafka's binding writes them.

#[cfg(test)]
mod tests;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

pub(super) use crate::event::incoming::{ATTRIBUTE_BYTES_MAX, BATCH, EVENTS_MAX, Incoming, STRUCTURED};

use super::problem::Problem;
use super::trace;
use crate::event::incoming::{self, NotRead, OF_THE_WAY};
use crate::event::{HeadersBuilder, Outgoing};

/// The events of a request, in its mode.
///
/// # Errors
/// 400, 413, 415
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<Incoming>, Problem> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    incoming::read(all, body).map_err(|not_read| match not_read {
        NotRead::NoEvent(_) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", not_read.to_string())
        }
        NotRead::NotJson(_) => Problem::new(StatusCode::BAD_REQUEST, "not-json", not_read.to_string()),
        NotRead::TooMany(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch-too-large", not_read.to_string()),
        NotRead::Invalid(errors) => {
            let detail = match errors.len() {
                1 => "an event is not valid".to_owned(),
                count => format!("{count} events are not valid"),
            };
            Problem::new(StatusCode::BAD_REQUEST, "invalid-event", detail).with_errors(errors)
        }
    })
}

/// Binary mode of the Kafka binding. Its own trace goes on, else that of the request.
pub(super) fn record(event: Incoming, topic: &str, reply_to: &str, request: &HeaderMap) -> Outgoing {
    let mut headers = HeadersBuilder::default()
        .with("ce_specversion", "1.0")
        .with("ce_id", &event.id)
        .with("ce_source", &event.source)
        .with("ce_type", &event.event_type)
        .with("ce_replyto", reply_to);
    for (name, value) in event.others.iter().filter(|(name, _)| !OF_THE_WAY.contains(&name.as_str())) {
        headers = headers.with(&format!("ce_{name}"), value);
    }
    for (name, value) in [("partitionkey", event.key()), ("correlationid", &event.id)] {
        if !event.others.contains_key(name) {
            headers = headers.with(&format!("ce_{name}"), value);
        }
    }
    let own = event.others.get("traceparent").filter(|text| trace::is_traceparent(text));
    // A state belongs to a trace (W3C Trace Context, 3.3): without its own there is none.
    if let Some(state) = event.others.get("tracestate").filter(|_| own.is_some()) {
        headers = headers.with("ce_tracestate", state).with("tracestate", state);
    }
    let traceparent = own.cloned().unwrap_or_else(|| trace::of_request(request));
    headers = headers.with("ce_traceparent", &traceparent).with("traceparent", &traceparent);
    if let Some(content_type) = &event.content_type {
        headers = headers.with("content-type", content_type);
    }
    Outgoing {
        topic: topic.into(),
        partition: None,
        key: Some(event.key().to_owned().into()),
        value: Some(event.data),
        headers: headers.build(),
        timestamp_ms: None,
    }
}
