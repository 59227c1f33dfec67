//! `POST /api/ingest/event`: CloudEvents of others, in the binary, structured or batched mode of the HTTP binding, become
//! records of `coafi.ai`.
//!
//! A batch is taken whole or refused whole as long as nothing fails; if something does while it is being published, sending
//! it again is right: ids that are known to be published are not published again.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::accept::{answered, wait_of};
use super::body;
use super::cloud_events::{self, Incoming};
use super::idempotency::digest;
use super::problem::Problem;
use super::router::Api;
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::store::NewRequest;

/// Where events go.
pub(super) const TOPIC: &str = "coafi.ai";
const PERMISSION: &str = "api:api/ingest/event:POST";

/// The answer to events that are in Kafka.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ingested {
    events: Vec<IngestedEvent>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IngestedEvent {
    id: String,
    source: String,
    /// Where to ask what became of it.
    status_url: String,
}

/// CloudEvents 1.0 become events for handlers.
///
/// Binary mode (`ce-*` headers), structured mode (`application/cloudevents+json`) or a batch
/// (`application/cloudevents-batch+json`). Needs the permission `api:api/ingest/event:POST`.
#[utoipa::path(
    post, path = "/api/ingest/event", operation_id = "ingest_event", tag = "events",
    params(("Prefer" = Option<String>, Header, description = "wait=N: of a single event, answer with its outcome.")),
    request_body(content_type = "application/cloudevents+json", description = "One event; or a batch; or, in binary mode, its data.", content = Object),
    responses(
        (status = 202, description = "Every event is published", body = Ingested),
        (status = 400, description = "An event is not valid", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 401, description = "No credential, or one that is not valid", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 403, description = "The permission is missing", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 409, description = "Another event was sent with this source and id", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 415, description = "No CloudEvent", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 429, description = "Asked too often; Retry-After", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "Something that is needed does not answer; Retry-After", body = super::problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ingest(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let principal = api.admitted(&headers, PERMISSION).await?;
    let bytes = body::read(&headers, body, api.body_limits()).await?;
    let events = cloud_events::read(&headers, bytes)?;
    // All are reserved before the first is published.
    let mut reserved = Vec::with_capacity(events.len());
    for event in events {
        let request = request(&event, &principal.name);
        let to_publish = api.reserve(&request).await?;
        reserved.push((event, request, to_publish));
    }
    let waiting = match &reserved[..] {
        [(_, only, _)] => wait_of(&api, &headers, &only.id, &only.source),
        _ => None,
    };
    let mut ingested = Vec::with_capacity(reserved.len());
    for (event, request, to_publish) in reserved {
        if to_publish {
            api.publish(&event.into_record(TOPIC, RESULTS_TOPIC, &headers)).await?;
            api.note_published(&request).await;
        }
        let status_url = status_url(&request.id, &request.source);
        ingested.push(IngestedEvent { id: request.id, source: request.source, status_url });
    }
    if let Some((wait, waiting)) = waiting
        && let Some(outcome) = waiting.within(wait).await
    {
        return Ok(answered(&ingested[0].status_url, &outcome, wait));
    }
    Ok((StatusCode::ACCEPTED, Json(Ingested { events: ingested })).into_response())
}

fn request(event: &Incoming, principal: &str) -> NewRequest {
    let content = event.content();
    let parts: Vec<&[u8]> = content.iter().map(AsRef::as_ref).collect();
    NewRequest {
        id: event.id.clone(),
        source: event.source.clone(),
        principal: principal.to_owned(),
        digest: digest(&parts),
    }
}

/// An id is its source's own.
fn status_url(id: &str, source: &str) -> String {
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    format!("/requests/{}?source={}", encoded(id), encoded(source))
}

/// `OPTIONS`: whether somebody may deliver here (CloudEvents HTTP web hook, section 4).
pub(super) async fn handshake(State(api): State<Api>, headers: HeaderMap) -> Response {
    let mut response = ([(header::ALLOW, "POST, OPTIONS")], StatusCode::OK).into_response();
    if let Some(origin) = headers.get("webhook-request-origin") {
        // Everybody may try: who may deliver is said by the credential.
        let rate = api.per_second().saturating_mul(60).to_string();
        response.headers_mut().insert("webhook-allowed-origin", origin.clone());
        let rate = HeaderValue::from_str(&rate).expect("a number is printable ASCII");
        response.headers_mut().insert("webhook-allowed-rate", rate);
    }
    response
}
