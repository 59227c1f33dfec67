//! `GET /events`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PERMISSION, unavailable};
use crate::bitt::{OutcomeFilter, Unread};
use crate::http::api::cursor;
use crate::http::api::problem::Problem;
use crate::http::api::registries::limit;
use crate::http::api::router::Api;
use crate::schema::payloads::{Outcome, OutcomeKind};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct Sought {
    r#type: Option<String>,
    source: Option<String>,
    since: Option<String>,
    handler: Option<String>,
    outcome: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of outcomes.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct EventsPage {
    /// In the order in which they were written, within a partition of the audit topic. There may be fewer than `limit`, or none,
    /// before the last page.
    events: Vec<EventOutcome>,
    /// Of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// What became of one event in one attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventOutcome {
    /// The same, if it was written down twice.
    record_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    correlation_id: Option<String>,
    utids: Vec<String>,
    /// `topic[partition]@offset`
    place: String,
    group: String,
    /// `processed`, `duplicate`, `filtered`, `retried_in_place`, `retried_topic`, `dead_lettered`, `unprocessed`, `halted`,
    /// `lost`; others may come.
    outcome: &'static str,
    attempt: i32,
    handlers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    #[schema(format = DateTime)]
    ended_at: String,
}

impl From<Outcome<'static>> for EventOutcome {
    fn from(outcome: Outcome<'static>) -> Self {
        let text = |value: Option<std::borrow::Cow<'static, str>>| value.map(std::borrow::Cow::into_owned);
        Self {
            record_id: outcome.record_id(),
            place: format!("{}[{}]@{}", outcome.topic, outcome.partition, outcome.offset),
            id: text(outcome.event_id),
            event_type: text(outcome.event_type),
            source: text(outcome.source),
            correlation_id: text(outcome.correlation_id),
            utids: outcome.utids.iter().map(ToString::to_string).collect(),
            group: outcome.group.into_owned(),
            outcome: outcome.outcome.name(),
            attempt: outcome.attempt,
            handlers: outcome.handlers.iter().map(ToString::to_string).collect(),
            error_class: text(outcome.error_class),
            error_code: text(outcome.error_code),
            error: text(outcome.error),
            ended_at: jiff::Timestamp::from_millisecond(outcome.ended_at).unwrap_or_default().to_string(),
        }
    }
}

/// List what became of events
///
/// Outcomes of attempts, from the audit records: all that were written when the first page was asked for, each on exactly one
/// page. There is no index; a page looks at no more than 20,000 records, and may have none that fit before the last one.
///
/// Needs the permission `api:events:GET`.
#[utoipa::path(
    get, path = "/events", operation_id = "list_events", tag = "events",
    params(
        ("type" = Option<String>, Query, description = "The events' type."),
        ("source" = Option<String>, Query, description = "The events' CloudEvents source."),
        ("since" = Option<String>, Query, description = "Attempts that ended at this time (RFC 3339) or later."),
        ("handler" = Option<String>, Query, description = "A handler that ran."),
        ("outcome" = Option<String>, Query, description = "What became of them, such as dead_lettered."),
        ("limit" = Option<u32>, Query, description = "Outcomes of one page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "Of the page before, for the next one."),
    ),
    responses((status = 200, description = "A page", body = EventsPage)),
)]
pub(in crate::http::api) async fn list(
    State(api): State<Api>,
    query: Result<Query<Sought>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<EventsPage>, Problem> {
    api.admitted(&headers, PERMISSION).await?;
    let invalid = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail);
    let Query(sought) = query.map_err(|error| invalid(error.body_text()))?;
    let limit = limit(sought.limit)?;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
    let (outcome, since) = (or_none(&sought.outcome), or_none(&sought.since));
    let named =
        ["events", &or_none(&sought.r#type), &or_none(&sought.source), &since, &or_none(&sought.handler), &outcome];
    let place: Option<Unread> = cursor::decode(&named, sought.cursor.as_deref())?;
    let filter = OutcomeFilter {
        since: match since.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                invalid(format!("since {text:?} is not allowed; allowed: a time such as 2026-01-31T12:00:00Z"))
            })?),
        },
        outcome: match outcome.as_str() {
            "" => None,
            name => Some(OutcomeKind::of_name(name).ok_or_else(|| {
                invalid(format!("outcome {name:?} is not allowed; allowed: {}", OutcomeKind::names()))
            })?),
        },
        event_type: sought.r#type,
        source: sought.source,
        handler: sought.handler,
    };
    let reads = api.audit_reads();
    let _turn = reads.turn()?;
    let page = reads.pages.page(&filter, place, limit as usize).await.map_err(|error| unavailable(&error))?;
    let cursor = page.next.map(|next| cursor::encode(&named, &next));
    Ok(Json(EventsPage { events: page.outcomes.into_iter().map(Into::into).collect(), cursor }))
}
