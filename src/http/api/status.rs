//! `GET /requests/{id}`: what became of a request, for who made it.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    request_id: &'a str,
    /// `pending` or `ended`.
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Result<'a>>,
}

/// What a caller that had waited would have been answered.
#[derive(Debug, Serialize)]
struct Result<'a> {
    status: u16,
    body: &'a RawValue,
}

pub(super) async fn status(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<OfSource>,
    headers: HeaderMap,
) -> std::result::Result<Response, Problem> {
    let principal = api.known(&headers).await?;
    let known = api.request(&id, of.source.as_deref(), &principal.name).await?;
    let Some(request) = known else {
        let detail = format!("this principal has made no request {id:?}, or it is forgotten by now");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-request", detail));
    };
    match api.outcomes().of(&id, &request.source, request.created_ms).await? {
        Known::Pending => {
            let pending = Status { request_id: &id, status: "pending", outcome: None, result: None };
            Ok(([(header::RETRY_AFTER, ASK_AGAIN_AFTER_SECONDS)], Json(pending)).into_response())
        }
        Known::Ended(outcome) => ended(&id, &outcome),
    }
}

fn ended(id: &str, outcome: &Outcome) -> std::result::Result<Response, Problem> {
    let body = serde_json::from_str(&outcome.body).map_err(|error| {
        tracing::error!(%error, id, "the body of a reply is not JSON");
        Problem::internal()
    })?;
    let result = Some(Result { status: outcome.status, body });
    let ended = Status { request_id: id, status: "ended", outcome: Some(&outcome.outcome), result };
    Ok(Json(ended).into_response())
}
