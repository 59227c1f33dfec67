//! A step that asks an endpoint of the configuration.
//!
//! The event that it posts has the id of the attempt, and so has `webhook-id`: an attempt that is made again after a crash is known
//! by it. A status that is no success is the step's fault, and the step's `retry` says whether it is tried again; an outage is
//! nobody's, and the event waits.

use serde_json::{Value, json};

use super::events;
use crate::dispatch::{Context, Failure};
use crate::engine::Class;
use crate::event::incoming::header_value;
use crate::event::{Attribute, Event};
use crate::handlers::http_endpoint::{unanswered, verdict};
use crate::outgoing::{HTTP_ENDPOINT, Message};
use crate::workflow::{Fault, Run};

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) endpoint: &'a str,
    pub(super) event_type: &'a str,
    pub(super) data: &'a Value,
}

/// What was answered, as JSON; null for nothing. `event`: the attempt's.
///
/// # Errors
/// Systemic: the endpoint cannot be reached, or is known to be away.
pub(super) async fn post(
    context: &Context<'_>,
    event: &Event,
    run: &Run,
    asked: Asked<'_>,
) -> Result<Result<Value, Fault>, Failure> {
    let Asked { endpoint: name, .. } = asked;
    let endpoints = &context.services.endpoints;
    let Some(endpoint) = endpoints.of(name) else {
        return Ok(Err(Fault::new("no_endpoint", format!("there is no endpoint {name:?}"))));
    };
    if endpoints.are_silent() {
        return Ok(Ok(Value::Null));
    }
    context.asks(&format!("{HTTP_ENDPOINT}{name}"))?;
    let called = match endpoints.post(endpoint, message(event, run, asked)).await {
        Ok(called) => called,
        Err(error) => return fault(unanswered(context.services, name, &error).await),
    };
    if let Err(failure) = verdict(context.services, name, &called).await {
        return fault(failure);
    }
    let body = &called.answer.body;
    if body.is_empty() {
        return Ok(Ok(Value::Null));
    }
    let answered = serde_json::from_slice(body);
    Ok(answered
        .map_err(|error| Fault::new("endpoint_answer_invalid", format!("the answer of {name} is no JSON: {error}"))))
}

fn fault<T>(failure: Failure) -> Result<Result<T, Fault>, Failure> {
    match failure.class {
        Class::Systemic(_) => Err(failure),
        _ => Ok(Err(Fault::new(failure.code, failure.message))),
    }
}

fn message(event: &Event, run: &Run, asked: Asked<'_>) -> Message {
    let source = events::source(&run.workflow);
    let mut headers: Vec<(String, String)> = [
        ("ce-specversion", "1.0"),
        ("ce-id", event.id()),
        ("ce-source", &source),
        ("ce-type", asked.event_type),
        ("ce-subject", &run.id),
        ("ce-correlationid", event.correlation_id()),
    ]
    .map(|(name, value)| (name.to_owned(), header_value(value)))
    .into();
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    if let Some(trace) = event.attribute(Attribute::TraceParent) {
        headers.extend(["ce-traceparent", "traceparent"].map(|name| (name.to_owned(), header_value(trace))));
    }
    Message { id: event.id().to_owned(), headers, body: json!(asked.data).to_string().into() }
}
