//! `GET /requests/{id}`: what became of a request, for who made it.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::cloud_events::ATTRIBUTE_BYTES_MAX;
use super::outcomes::{Known, Outcome};
use super::problem::Problem;
use super::router::Api;

/// When to ask again about a request that is pending.
const ASK_AGAIN_AFTER_SECONDS: &str = "1";

/// Of an event that its sender named: ids are unique within their source only.
#[derive(Debug, Deserialize)]
pub(super) struct OfSource {
    source: Option<String>,
}

/// What became of a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RequestStatus)]
pub(super) struct Status {
    request_id: String,
    /// `pending` or `ended`.
    status: &'static str,
    /// `processed`, `refused`, `filtered`, `dead_lettered`, `unprocessed`; others may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    result: Option<Answer>,
}

/// What a caller that had waited would have been answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestResult)]
struct Answer {
    status: u16,
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
}

/// Tell what became of a request
///
/// Of a request or an event of the caller's own: whether it is still pending, or how it ended.
#[utoipa::path(
    get, path = "/requests/{id}", operation_id = "request_status", tag = "requests",
    params(
        ("id" = String, Path, description = "The request's id, as it was answered."),
        ("source" = Option<String>, Query, description = "Of an event that its sender named: ids are unique within a source."),
    ),
    responses((status = 200, description = "It is pending (ask again after Retry-After), or has ended", body = Status)),
)]
pub(super) async fn status(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    of: Result<Query<OfSource>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = api.known(&headers).await?;
    let Query(of) = of.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid-query", error.body_text()))?;
    let none = |id: &str| {
        let detail = format!("this principal has made no request {id:?}, or it is forgotten by now");
        Problem::new(StatusCode::NOT_FOUND, "no-such-request", detail)
    };
    let Ok(Path(id)) = id else { return Err(none("that is no UTF-8")) };
    if !may_be_known(&id) || !of.source.as_deref().is_none_or(may_be_known) {
        return Err(none(&id));
    }
    let known = api.request(&id, of.source.as_deref(), &principal.name).await?;
    let Some(request) = known else { return Err(none(&id)) };
    match api.outcomes().of(&id, &request.source, request.created_ms).await? {
        Known::Pending => {
            let pending = Status { request_id: id, status: "pending", outcome: None, result: None };
            Ok(([(header::RETRY_AFTER, ASK_AGAIN_AFTER_SECONDS)], Json(pending)).into_response())
        }
        Known::Ended(outcome) => ended(id, &outcome),
    }
}

/// Whether something could have been taken under this id or source. The database is not asked for what it cannot have.
fn may_be_known(text: &str) -> bool {
    text.len() <= ATTRIBUTE_BYTES_MAX && !text.chars().any(char::is_control)
}

fn ended(id: String, outcome: &Outcome) -> Result<Response, Problem> {
    let body = serde_json::from_str(&outcome.body).map_err(|error| {
        tracing::error!(%error, id, "the body of a reply is not JSON");
        Problem::internal()
    })?;
    let result = Some(Answer { status: outcome.status, body });
    let ended = Status { request_id: id, status: "ended", outcome: Some(outcome.outcome.clone()), result };
    Ok(Json(ended).into_response())
}
