//! `POST /api/ingest/event`: CloudEvents of others, in any mode of the HTTP binding, become records of `coafi.ai`.
//!
//! A batch is taken whole or refused whole: every event is checked, and every id reserved in one transaction, before the
//! first is published. Only what Kafka itself does not take can end in between, with 503: then the batch is to be sent again,
//! and what is known to be published is not published again.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Patience, accepted_now, answer};
use super::body;
use super::cloud_events::{self, Incoming};
use super::idempotency::digest;
use super::problem::Problem;
use super::router::Api;
use crate::dispatch::replies::RESULTS_TOPIC;
use crate::store::NewRequest;

/// Where events go.
pub const INGEST_TOPIC: &str = "coafi.ai";
pub(super) const PATH: &str = "/api/ingest/event";
pub(super) const PERMISSION: &str = "api:api/ingest/event:POST";

/// The answer to events that are in Kafka.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ingested {
    /// In the order in which they were sent; what is in a batch twice is here once.
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

/// Take CloudEvents 1.0 for handlers
///
/// Structured mode (`application/cloudevents+json`), a batch (`application/cloudevents-batch+json`), or binary mode: any other
/// content type, with the attributes in `ce-*` headers and the data as the body. A batch is taken whole or refused whole.
/// Events of one `partitionkey`, else of one `subject`, are handled in order. The same event again is accepted, and not
/// published again.
///
/// Needs the permission `api:api/ingest/event:POST`.
#[utoipa::path(
    post, path = PATH, operation_id = "ingest_event", tag = "events",
    responses((status = 202, description = "Every event is published, and not handled yet", body = Ingested)),
)]
pub(super) async fn ingest(State(api): State<Api>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let principal = api.admitted(&headers, PERMISSION).await?;
    let bytes = body::read(&headers, body, api.body_limits()).await?;
    let events = distinct(cloud_events::read(&headers, bytes)?, &principal.name)?;
    // The first was counted with the request.
    api.count_more(&principal, events.len().saturating_sub(1))?;
    let (events, requests): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let to_publish = api.reserve(&requests).await?;
    let ingested = Ingested { events: requests.iter().map(ingested).collect() };
    let only = match &ingested.events[..] {
        [only] => Some((only.status_url.clone(), Patience::of(&api, &headers, &only.id, &only.source))),
        _ => None,
    };
    let new = events.into_iter().zip(requests).zip(to_publish).filter(|(_, to_publish)| *to_publish);
    publish(&api, &headers, new.map(|(event, _)| event)).await?;
    Ok(match only {
        Some((url, patience)) => answer(&url, patience, ingested).await,
        None => accepted_now(ingested),
    })
}

/// Each event once, with what it is reserved by.
///
/// # Errors
/// 409: two that are not the same have one source and id.
fn distinct(events: Vec<Incoming>, principal: &str) -> Result<Vec<(Incoming, NewRequest)>, Problem> {
    let mut digests = BTreeMap::new();
    let mut all = Vec::with_capacity(events.len());
    for event in events {
        let request = NewRequest {
            id: event.id.clone(),
            source: event.source.clone(),
            principal: principal.to_owned(),
            digest: digest(&event.content()),
        };
        let earlier = digests.insert((event.id.clone(), event.source.clone()), request.digest.clone());
        match earlier {
            None => all.push((event, request)),
            Some(digest) if digest == request.digest => {}
            Some(_) => return Err(Problem::id_conflict([&request])),
        }
    }
    Ok(all)
}

/// Those of one key one after another, so that they keep their order whatever fails; keys beside each other, of which there
/// are at most [`cloud_events::EVENTS_MAX`].
async fn publish(
    api: &Api,
    headers: &HeaderMap,
    events: impl Iterator<Item = (Incoming, NewRequest)>,
) -> Result<(), Problem> {
    let mut by_key: BTreeMap<String, Vec<(Incoming, NewRequest)>> = BTreeMap::new();
    for event in events {
        by_key.entry(event.0.key().to_owned()).or_default().push(event);
    }
    let of_one_key = async |events: Vec<(Incoming, NewRequest)>| {
        let mut published = Vec::with_capacity(events.len());
        for (event, request) in events {
            if let Err(problem) = api.publish(&cloud_events::record(event, INGEST_TOPIC, RESULTS_TOPIC, headers)).await
            {
                return (published, Some(problem));
            }
            published.push(request);
        }
        (published, None)
    };
    let ended = futures_util::future::join_all(by_key.into_values().map(of_one_key)).await;
    let (published, problems): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
    api.note_published(&published.concat()).await;
    problems.into_iter().flatten().next().map_or(Ok(()), Err)
}

fn ingested(request: &NewRequest) -> IngestedEvent {
    let NewRequest { id, source, .. } = request;
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    // An id is its source's own.
    let status_url = format!("/requests/{}?source={}", encoded(id), encoded(source));
    IngestedEvent { id: id.clone(), source: source.clone(), status_url }
}

/// `OPTIONS`: whether somebody may deliver here (CloudEvents HTTP web hook, section 4).
pub(super) async fn handshake(State(api): State<Api>, headers: HeaderMap) -> Response {
    let mut response = ([(header::ALLOW, "POST, OPTIONS")], StatusCode::OK).into_response();
    if let Some(origin) = headers.get("webhook-request-origin") {
        // Everybody may try: who may deliver is said by the credential.
        response.headers_mut().insert("webhook-allowed-origin", origin.clone());
        let rate_per_minute = api.per_second().saturating_mul(60).to_string();
        let rate_per_minute = HeaderValue::from_str(&rate_per_minute).expect("a number is printable ASCII");
        response.headers_mut().insert("webhook-allowed-rate", rate_per_minute);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::api::endpoint::Endpoint;

    fn events(ids: &[(&str, u32)]) -> Vec<Incoming> {
        let event =
            |(id, n): &(&str, u32)| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": n});
        let batch = serde_json::Value::from(ids.iter().map(event).collect::<Vec<_>>()).to_string();
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(cloud_events::BATCH))].into_iter().collect();
        cloud_events::read(&headers, batch.into()).unwrap()
    }

    #[test]
    fn the_permission_is_that_of_an_endpoint_of_this_name() {
        assert_eq!(PERMISSION, Endpoint::new(PATH, "POST").permission());
    }

    #[test]
    fn what_is_in_a_batch_twice_is_one_event_if_it_is_the_same() {
        let all = distinct(events(&[("a", 1), ("b", 1), ("a", 1)]), "key:x").unwrap();
        assert_eq!(all.iter().map(|(event, _)| &*event.id).collect::<Vec<_>>(), ["a", "b"]);
        let conflict = distinct(events(&[("a", 1), ("a", 2)]), "key:x").unwrap_err();
        assert_eq!(conflict.status, StatusCode::CONFLICT);
        assert!(distinct(Vec::new(), "key:x").unwrap().is_empty());
    }
}
