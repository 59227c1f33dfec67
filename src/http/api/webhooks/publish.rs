//! A delivery as an event: once under its id, however often it is sent.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::delivery::DeliveryId;
use super::hook::EventTarget;
use crate::connectors::publish_event::{self, EventToSend, SendError};
use crate::http::api::problem::Problem;
use crate::http::api::router::{API_SOURCE, Api};
use crate::http::api::{body, endpoint, idempotency};
use crate::runtime::unix_ms;
use crate::schema::Payload as _;
use crate::schema::payloads::ApiRequest;
use crate::store::NewRequest;

/// Publishes it, unless it is known to be published, and gives its id. The id is reserved before, and noted as published after
/// that: a delivery that failed, or whose taker died, is published when it is sent again.
pub(super) async fn publish(
    api: &Api,
    webhook: &str,
    principal: String,
    target: &EventTarget,
    id: DeliveryId,
    bytes: Bytes,
) -> Result<String, Problem> {
    let body = body::parse(&bytes)?;
    let id = id.as_str().to_owned();
    let endpoint = format!("webhooks/{webhook}");
    let source = format!("{API_SOURCE}/{endpoint}");
    let digest = idempotency::digest(&[&bytes]);
    let new = NewRequest { id: id.clone(), source: source.clone(), principal: principal.clone(), digest };
    if api.reserve(std::slice::from_ref(&new)).await? == [false] {
        return Ok(id);
    }
    let now_ms = unix_ms();
    let key = endpoint::key_of(&target.key, &body);
    let data = if target.event_type == ApiRequest::EVENT_TYPE {
        let text = String::from_utf8(bytes.into()).expect("what is JSON is UTF-8");
        json!({
            "endpoint": endpoint, "method": "POST", "requestId": id, "body": text, "principal": principal,
            "receivedAt": now_ms,
        })
    } else {
        body
    };
    let event = event(target, data, &id, source, key);
    let record = publish_event::prepare(api.codec(), event, now_ms).await.map_err(problem)?;
    api.publish(&record).await?;
    api.note_published(std::slice::from_ref(&new)).await;
    Ok(id)
}

fn event(target: &EventTarget, data: Value, id: &str, source: String, key: Option<String>) -> EventToSend {
    EventToSend {
        event_type: target.event_type.clone(),
        data,
        id: Some(id.to_owned()),
        source: Some(source),
        key,
        topic: target.topic.clone(),
        base: PathBuf::new(),
    }
}

fn problem(error: SendError) -> Problem {
    match error {
        SendError::Data { record, source } => {
            let detail = format!("the body does not fit {record}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid-body", detail).with_errors(vec![source.to_string()])
        }
        SendError::Registry { .. } => {
            tracing::error!(%error, "a delivery cannot be published");
            Problem::unavailable("the delivery cannot be published at the moment")
        }
        // What was checked at the start.
        SendError::Type { .. }
        | SendError::Internal { .. }
        | SendError::Topic { .. }
        | SendError::Key { .. }
        | SendError::Schema { .. }
        | SendError::Kafka { .. } => {
            tracing::error!(%error, "a delivery cannot be published");
            Problem::internal()
        }
    }
}
