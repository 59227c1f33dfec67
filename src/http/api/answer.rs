//! What a caller is answered whose request is published: the outcome if it waits and the outcome comes in time, else 202.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::outcomes::{Outcome, Waiting};
use super::prefer;
use super::problem::PROBLEM_JSON;
use super::router::Api;

/// A caller that waits, and for how long.
#[derive(Debug)]
pub(super) struct Patience {
    wait: Duration,
    waiting: Waiting,
}

impl Patience {
    /// To be had before the request is published: its outcome cannot be missed then. `None` if the caller does not want to
    /// wait, or too many do.
    pub(super) fn of(api: &Api, headers: &HeaderMap, id: &str, source: &str) -> Option<Self> {
        let wait = prefer::wait(headers)?.min(api.wait_max());
        Some(Self { wait, waiting: api.outcomes().wait_for(id, source)? })
    }
}

/// `url`: where to ask what became of the request. `accepted`: the body of a 202.
pub(super) async fn answer(url: &str, patience: Option<Patience>, accepted: impl Serialize) -> Response {
    let Some(Patience { wait, waiting }) = patience else { return located(url, accepted_now(accepted)) };
    let mut response = match waiting.within(wait).await {
        Some(outcome) => ended(&outcome),
        None => accepted_now(accepted),
    };
    response.headers_mut().insert("preference-applied", printable(&format!("wait={}", wait.as_secs())));
    located(url, response)
}

pub(super) fn accepted_now(accepted: impl Serialize) -> Response {
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

/// As the outcome says, which is what the caller waited for.
fn ended(outcome: &Outcome) -> Response {
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media = if status.is_client_error() || status.is_server_error() { PROBLEM_JSON } else { "application/json" };
    (status, [(header::CONTENT_TYPE, media)], outcome.body.clone()).into_response()
}

fn located(url: &str, mut response: Response) -> Response {
    response.headers_mut().insert(header::LOCATION, printable(url));
    response
}

fn printable(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("encoded ids and numbers are printable ASCII")
}
