//! Reads bodies within their bounds.

use std::time::Duration;

use axum::body::to_bytes;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::problem::Problem;
use super::room::{Housed, NotRead, Room};
use crate::event::incoming::{essence, is_json};

/// Bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    pub max_bytes: usize,
    /// From its first byte to its last.
    pub timeout: Duration,
}

/// Reads all of a body.
///
/// # Errors
/// 413, or 408 where it comes too slowly.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    check_length(headers, limits)?;
    match tokio::time::timeout(limits.timeout, to_bytes(body, limits.max_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large(limits)),
        Ok(Err(_)) => Err(broken()),
        Err(_) => Err(too_slow(limits)),
    }
}

/// The same of a body whose sender nobody knows yet, as far as there is [`Room`] for it.
///
/// # Errors
/// As [`read`]; 503 if there is no room.
pub(super) async fn read_in(
    room: &Room,
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
) -> Result<Housed, Problem> {
    check_length(headers, limits)?;
    match tokio::time::timeout(limits.timeout, room.read(body, limits.max_bytes)).await {
        Ok(Ok(housed)) => Ok(housed),
        Ok(Err(NotRead::TooLarge)) => Err(too_large(limits)),
        Ok(Err(NotRead::Broken)) => Err(broken()),
        Ok(Err(NotRead::NoRoom(problem))) => Err(problem),
        Err(_) => Err(too_slow(limits)),
    }
}

fn check_length(headers: &HeaderMap, limits: BodyLimits) -> Result<(), Problem> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > limits.max_bytes) { Err(too_large(limits)) } else { Ok(()) }
}

fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "broken-body", "the body broke off")
}

fn too_slow(limits: BodyLimits) -> Problem {
    let detail = format!("the body did not come within {} ms", limits.timeout.as_millis());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail)
}

fn too_large(limits: BodyLimits) -> Problem {
    let detail = format!("allowed: at most {} bytes", limits.max_bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the body says that it is, without parameters, in lower case; empty if it says nothing.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    essence(given)
}

/// Whether the body says that it is JSON.
///
/// # Errors
/// 415
pub(super) fn check_is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media = media_type(headers);
    if is_json(&media) {
        return Ok(());
    }
    let detail = format!("content type {media:?} is not taken; allowed: application/json");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

/// # Errors
/// 400; the message has line and column.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "not-json", format!("the body is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BodyLimits = BodyLimits { max_bytes: 10, timeout: Duration::from_secs(1) };

    async fn status(body: Body) -> Result<usize, u16> {
        let read = read(&HeaderMap::new(), body, LIMITS).await;
        read.map(|bytes| bytes.len()).map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_bounds_in_size_and_time() {
        assert_eq!(status(Body::from(vec![b'x'; 10])).await, Ok(10));
        assert_eq!(status(Body::from(vec![b'x'; 11])).await, Err(413));
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(status(Body::from_stream(never)).await, Err(408));
        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
        assert_eq!(status(Body::from_stream(broken)).await, Err(400));
    }

    #[test]
    fn json_is_said_to_be_json() {
        let check = |given: Option<&'static str>| {
            let headers = given.map(|text| (header::CONTENT_TYPE, text.parse().unwrap())).into_iter().collect();
            check_is_json(&headers).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!(check(Some("Application/JSON; charset=utf-8")), Ok(()));
        assert_eq!(check(Some("application/vnd.x+json")), Ok(()));
        assert_eq!(check(Some("text/plain")), Err(415));
        assert_eq!(check(None), Err(415));
    }
}
