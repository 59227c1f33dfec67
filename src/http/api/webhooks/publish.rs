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
    let digest = idempotency::digest(&[&bytes]);
    let now_ms = unix_ms();
    let delivery = Delivery { webhook, principal: &principal, id: id.as_str(), body, bytes };
    let source = delivery.source();
    let event = delivery.into_event(target, now_ms);
    let id = id.as_str().to_owned();
    let new = NewRequest { id: id.clone(), source, principal, digest };
    if api.reserve(std::slice::from_ref(&new)).await? == [false] {
        return Ok(id);
    }
    let record = publish_event::prepare(api.codec(), event, now_ms).await.map_err(problem)?;
    api.publish(&record).await?;
    api.note_published(std::slice::from_ref(&new)).await;
    Ok(id)
}

/// A delivery that is JSON.
struct Delivery<'a> {
    webhook: &'a str,
    principal: &'a str,
    id: &'a str,
    body: Value,
    /// The body as it came.
    bytes: Bytes,
}

impl Delivery<'_> {
    fn endpoint(&self) -> String {
        format!("webhooks/{}", self.webhook)
    }

    fn source(&self) -> String {
        format!("{API_SOURCE}/{}", self.endpoint())
    }

    /// `now_ms`: when it came.
    fn into_event(self, target: &EventTarget, now_ms: i64) -> EventToSend {
        let (endpoint, source) = (self.endpoint(), self.source());
        let Self { principal, id, body, bytes, .. } = self;
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

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::http::api::golden;
    use crate::schema::registry::{Client, Settings};
    use crate::schema::{BuiltinRegistry, Codec, subject};

    const BODY: &[u8] = br#"{"orderId": 7, "state": "paid"}"#;

    /// The record of a delivery that came in as one of these.
    async fn written(event_type: &str, record: &str, topic: &str, key: &[&str], body: &[u8]) -> String {
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), false);
        let file = codec.schemas().of_record(record).unwrap();
        codec.registry().register(&subject(topic, record), file.text()).await.unwrap();
        let target = EventTarget {
            event_type: event_type.to_owned(),
            topic: topic.to_owned(),
            key: key.iter().map(|&member| member.to_owned()).collect(),
        };
        let delivery = Delivery {
            webhook: "billing",
            principal: "webhook:billing",
            id: "order-7-paid",
            body: serde_json::from_slice(body).unwrap(),
            bytes: Bytes::copy_from_slice(body),
        };
        let event = delivery.into_event(&target, golden::NOW_MS);
        let record = publish_event::prepare(&codec, event, golden::NOW_MS).await.unwrap();
        // Another one each time.
        record.dump().replace(record.headers.text("traceparent").unwrap(), "<trace>")
    }

    #[tokio::test]
    async fn deliveries_are_written_as_before() {
        let request = written("api.request", ApiRequest::RECORD_NAME, "coafi.api", &["orderId"], BODY).await;
        expect_file![golden::file("webhook_request.txt")].assert_eq(&request);
        let body = br#"{"workflow": "Payment", "workflowId": "wf-7", "input": "{}", "utids": ["UT-1"]}"#;
        let record = "org.coafi.events.WorkflowRequestedEventPayload";
        let event = written("workflow.requested", record, "coafi.workflow", &[], body).await;
        expect_file![golden::file("webhook_event.txt")].assert_eq(&event);
    }
}
