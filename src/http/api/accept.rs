//! A request becomes an event, or a problem.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::{Patience, answer};
use super::endpoint::Endpoint;
use super::principal::Principal;
use super::problem::Problem;
use super::router::{API_SOURCE, API_TOPIC, Api};
use super::{body, idempotency, registries, trace};
use crate::connectors::{NewSourceEvent, ProduceError};
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::engine::Class;
use crate::event::Outgoing;
use crate::runtime::unix_ms;
use crate::schema::payloads::ApiRequest;
use crate::schema::{AVRO_CONTENT_TYPE, Payload as _};
use crate::store::NewRequest;

/// The answer to a request that is in Kafka and not handled yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accepted {
    request_id: String,
    /// `pending`
    status: &'static str,
    /// Where to ask what became of it.
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
    if api.catalogue().get(&endpoint).is_none() {
        return Err(no_such(&api, &endpoint));
    }
    let principal = api.admitted(&headers, &endpoint.permission()).await?;
    body::check_is_json(&headers)?;
    let bytes = body::read(&headers, body, api.body_limits()).await?;
    let value: Value = body::parse(&bytes)?;
    let text = String::from_utf8(bytes.into()).expect("what is JSON is UTF-8");
    let name = principal.name.clone();
    let taken = take(&api, &headers, principal, Request { endpoint, text, value }).await;
    taken.map_err(|problem| problem.by(&name))
}

/// A request whose sender may make it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) endpoint: Endpoint,
    /// JSON.
    pub(super) text: String,
    /// The same.
    pub(super) value: Value,
}

/// Checks the body, publishes the request, and answers it.
///
/// # Errors
/// 400, 404, 409, 413, 428, 503.
pub(super) async fn take(
    api: &Api,
    headers: &HeaderMap,
    principal: Principal,
    request: Request,
) -> Result<Response, Problem> {
    let Request { endpoint, text, value } = request;
    let Some(takes) = api.catalogue().get(&endpoint) else { return Err(no_such(api, &endpoint)) };
    let errors = takes.shape.errors(&value);
    if !errors.is_empty() {
        let detail = format!("the body does not fit {}", endpoint.schema_id());
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-body", detail).with_errors(errors));
    }
    if endpoint == registries::write::update() {
        registries::write::check_by(api.rules(), &value)?;
    }
    let key = idempotency::key(headers)?;
    let id = match key {
        Some(key) => idempotency::request_id(&principal.name, &endpoint, key),
        // The later, the greater: requests are listed in the order in which they came.
        None => uuid::Uuid::now_v7().to_string(),
    };
    let source = format!("{API_SOURCE}/{}", endpoint.name);
    let digest = idempotency::digest(&[text.as_bytes()]);
    let new = [NewRequest { id: id.clone(), source: source.clone(), principal: principal.name.clone(), digest }];
    let to_publish = api.reserve(&new).await? == [true];
    let patience = Patience::of(api, headers, &id, &source);
    if to_publish {
        let request = ApiRequest {
            endpoint: endpoint.name,
            method: endpoint.method,
            request_id: id.clone(),
            body: text,
            principal: principal.name,
            received_at: unix_ms(),
        };
        let event = event(api, &request, &source, takes.key(&value), headers).await?;
        api.publish(&event).await?;
        if key.is_some() {
            api.note_published(&new).await;
        }
    }
    let url = format!("/requests/{id}");
    let accepted = Accepted { request_id: id, status: "pending", status_url: url.clone() };
    Ok(answer(&url, patience, accepted).await)
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
        tenant: None,
        content_type: AVRO_CONTENT_TYPE,
        data: encoded,
    };
    Ok(event.into_record(&trace::of_request(headers)))
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
