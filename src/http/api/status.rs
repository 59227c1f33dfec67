//! `GET /requests/{id}`: what became of a request, for who made it.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

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
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Answer>,
}

/// What a caller that had waited would have been answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestResult)]
struct Answer {
    status: u16,
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

/// What became of a request, for who made it.
#[utoipa::path(
    get, path = "/requests/{id}", operation_id = "request_status", tag = "requests",
    params(
        ("id" = String, Path, description = "The request's id, as it was answered."),
        ("source" = Option<String>, Query, description = "Of an event that its sender named: ids are unique within a source."),
    ),
    responses(
        (status = 200, description = "It is pending (ask again after Retry-After), or has ended", body = Status),
        (status = 401, description = "No credential, or one that is not valid", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 404, description = "This principal has made no such request, or it is forgotten", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 429, description = "Asked too often; Retry-After", body = super::problem::Document, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be told at the moment; Retry-After", body = super::problem::Document, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn status(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<OfSource>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = api.known(&headers).await?;
    let known = api.request(&id, of.source.as_deref(), &principal.name).await?;
    let Some(request) = known else {
        let detail = format!("this principal has made no request {id:?}, or it is forgotten by now");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-request", detail));
    };
    match api.outcomes().of(&id, &request.source, request.created_ms).await? {
        Known::Pending => {
            let pending = Status { request_id: id, status: "pending", outcome: None, result: None };
            Ok(([(header::RETRY_AFTER, ASK_AGAIN_AFTER_SECONDS)], Json(pending)).into_response())
        }
        Known::Ended(outcome) => ended(id, &outcome),
    }
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
