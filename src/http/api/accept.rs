//! A request becomes an event, or a problem.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};
use serde::Serialize;

use super::endpoint::Endpoint;
use super::outcomes::Outcome;
use super::problem::{PROBLEM_JSON, Problem};
use super::router::{API_SOURCE, API_TOPIC, Api};
use super::{body, idempotency, prefer};
use crate::connectors::{NewSourceEvent, ProduceError, traceparent_of};
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::engine::Class;
use crate::event::Outgoing;
use crate::runtime::unix_ms;
use crate::schema::payloads::ApiRequest;
use crate::schema::{AVRO_CONTENT_TYPE, Payload as _};
use crate::store::NewRequest;

/// The answer to a request that is in Kafka and not handled yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accepted {
    request_id: String,
    status: &'static str,
    status_url: String,
}

/// Every path that is no page of the API's own.
pub(super) async fn accept(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let endpoint = Endpoint::new(uri.path(), method.as_str());
    let Some(takes) = api.catalogue().get(&endpoint) else { return Err(no_such(&api, &endpoint)) };
    let principal = api.admitted(&headers, &endpoint.permission()).await?;
    body::check_is_json(&headers)?;
    let bytes = body::read(&headers, body, api.body_limits()).await?;
    let value = body::parse(&bytes)?;
    let errors = takes.shape.errors(&value);
    if !errors.is_empty() {
        let detail = format!("the body does not fit {}", endpoint.schema_id());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-body", detail).with_errors(errors));
    }
    let key = idempotency::key(&headers)?;
    let id = match key {
        Some(key) => idempotency::request_id(&principal.name, &endpoint, key),
        // The later, the greater: requests are listed in the order in which they came.
        None => uuid::Uuid::now_v7().to_string(),
    };
    let new = NewRequest {
        source: format!("{API_SOURCE}/{}", endpoint.name),
        digest: idempotency::digest(&[&bytes]),
        principal: principal.name.clone(),
        id: id.clone(),
    };
    let to_publish = api.reserve(&new).await?;
    // Before it is published: its outcome cannot be missed then.
    let waiting = prefer::wait(&headers).and_then(|wait| Some((wait, api.outcomes().wait_for(&id, &new.source)?)));
    if to_publish {
        let request = ApiRequest {
            endpoint: endpoint.name,
            method: endpoint.method,
            request_id: id.clone(),
            body: String::from_utf8(bytes.into()).expect("what is JSON is UTF-8"),
            principal: principal.name,
            received_at: unix_ms(),
        };
        let event = event(&api, &request, &new.source, takes.key(&value), &headers).await?;
        api.publish(&event).await?;
        if key.is_some() {
            api.note_published(&new).await;
        }
    }
    let Some((wait, waiting)) = waiting else { return Ok(accepted(&id)) };
    let wait = wait.min(api.wait_max());
    let mut response = match waiting.within(wait).await {
        Some(outcome) => answered(&id, &outcome),
        None => accepted(&id),
    };
    let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs())).expect("a number is printable ASCII");
    response.headers_mut().insert("preference-applied", applied);
    Ok(response)
}

fn no_such(api: &Api, endpoint: &Endpoint) -> Problem {
    let methods = api.catalogue().methods(&endpoint.name);
    if methods.is_empty() {
        let detail = format!("there is no endpoint {:?}", endpoint.name);
        return Problem::new(StatusCode::NOT_FOUND, "no-such-endpoint", detail);
    }
    let detail = format!("endpoint {:?} does not take {}", endpoint.name, endpoint.method);
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        .with_header(header::ALLOW, methods.join(", "))
}

async fn event(
    api: &Api,
    request: &ApiRequest,
    source: &str,
    key: Option<String>,
    headers: &HeaderMap,
) -> Result<Outgoing, Problem> {
    let encoded = api.codec().encode(API_TOPIC, request).await.map_err(|failure| {
        tracing::error!(%failure, "a request cannot be encoded");
        match failure.class {
            Class::Systemic(_) => Problem::unavailable("the request cannot be published at the moment"),
            _ => Problem::internal(),
        }
    })?;
    let event = NewSourceEvent {
        topic: API_TOPIC.into(),
        event_type: ApiRequest::EVENT_TYPE.to_owned(),
        id: request.request_id.clone(),
        source: source.to_owned(),
        subject: key.clone(),
        time_ms: Some(request.received_at),
        key: key.unwrap_or_else(|| request.request_id.clone()),
        correlation_id: None,
        utids: Vec::new(),
        reply_to: Some(RESULTS_TOPIC),
        content_type: AVRO_CONTENT_TYPE,
        data: encoded,
    };
    Ok(event.into_record(&traceparent(headers)))
}

/// The caller's trace goes on in the event; else one begins here.
fn traceparent(headers: &HeaderMap) -> String {
    let given = headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|text| is_traceparent(text));
    given.map_or_else(|| traceparent_of(&tracing::Span::current()), str::to_owned)
}

/// W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match parts[..] {
        ["00", trace, span, flags] => {
            let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
            hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span)
        }
        _ => false,
    }
}

fn accepted(id: &str) -> Response {
    let accepted = Accepted { request_id: id.to_owned(), status: "pending", status_url: status_url(id) };
    located(id, (StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// As the outcome says, which is what the caller waited for.
fn answered(id: &str, outcome: &Outcome) -> Response {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media = if status.is_client_error() || status.is_server_error() { PROBLEM_JSON } else { "application/json" };
    located(id, (status, [(header::CONTENT_TYPE, media)], outcome.body.clone()).into_response())
}

fn status_url(id: &str) -> String {
    format!("/requests/{id}")
}

fn located(id: &str, mut response: Response) -> Response {
    let location = HeaderValue::from_str(&status_url(id)).expect("our own ids are printable ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

impl From<ProduceError> for Problem {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Full => Self::unavailable("too many requests wait to be published"),
            ProduceError::TooLarge { .. } => {
                let detail = "the request is larger than an event may be";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
            }
            ProduceError::NotAcknowledged { .. } => {
                tracing::error!(%error, "a request was not published, or is not known to be");
                Self::unavailable("whether the request was published is not known")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_the_caller_goes_on() {
        let check = |text: &str, expected: bool| assert_eq!(is_traceparent(text), expected, "{text}");
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
        check("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
        check("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
        check("", false);
    }
}
