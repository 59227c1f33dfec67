//! `GET /events/{id}`

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PERMISSION, unavailable};
use crate::bitt::Story;
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;

/// One partition of the audit topic is read from its beginning.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct OfSource {
    source: Option<String>,
}

/// Events that have the id: one of each source.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct Stories {
    #[schema(value_type = Vec<serde_json::Map<String, serde_json::Value>>)]
    events: Vec<Story>,
}

/// Tell what became of an event
///
/// Step by step, as `coafi event show` does: every attempt, what people did with its dead letter, and what replays made of it.
///
/// Needs the permission `api:events:GET`.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "event_story", tag = "events",
    params(
        ("id" = String, Path, description = "The event's CloudEvents id, percent-encoded."),
        ("source" = Option<String>, Query, description = "Its source, where events of several sources have the id."),
    ),
    responses((status = 200, description = "What is recorded of it", body = Stories)),
)]
pub(in crate::http::api) async fn story(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    of: Result<Query<OfSource>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<Stories>, Problem> {
    api.admitted(&headers, PERMISSION).await?;
    let invalid = |code, detail| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    let Path(id) = id.map_err(Problem::of_path)?;
    let Query(of) = of.map_err(|error| invalid("invalid-query", error.body_text()))?;
    let reads = api.audit_reads();
    let _turn = reads.turn()?;
    let reading = async {
        let outcomes = reads.trail.outcomes(&id, &reads.codec, drop).await?;
        let interventions = reads.trail.interventions(&id, &reads.codec, drop).await?;
        Ok(Story::by_source(outcomes, &interventions))
    };
    let read = tokio::time::timeout(TIMEOUT, reading).await;
    let read = read.map_err(|_| Problem::unavailable("the event could not be looked up in time"))?;
    let mut events = read.map_err(|error| unavailable(&error))?;
    events.retain(|story| of.source.is_none() || story.source == of.source);
    if events.is_empty() {
        let detail = format!("no outcome of an event {id:?} is recorded, or it is none yet");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-event", detail));
    }
    Ok(Json(Stories { events }))
}
