//! Registries over HTTP: read from the database at once, written by way of `coafi.api` like everything else.
//!
//! What an answer shows was committed when it was asked for. A change that the handler has not made yet is not in it: who
//! wants to read what it wrote waits for the outcome first (`Prefer: wait`).

pub(super) mod etag;
pub(super) mod history;
pub(super) mod list;
pub(super) mod read;
mod shown;
pub(super) mod write;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::problem::Problem;
use crate::store::StoreError;

/// What begins the paths.
pub(super) const FOLDER: &str = "registries";
/// Items of one page, if nobody says how many.
const LIMIT: u32 = 50;
pub(super) const LIMIT_MAX: u32 = 500;
/// Of a name that is asked for: what handlers write may be longer than what callers may write.
const NAME_BYTES_MAX: usize = crate::registry::MAX_NAME_BYTES;
/// A registry's name within a permission: it must not pass for the end of another's.
const IN_PERMISSIONS: &AsciiSet = &CONTROLS.add(b':').add(b'/').add(b'%').add(b'*').add(b' ');

/// `api:registries/{registry}:{method}`
fn permission(registry: &str, method: &str) -> String {
    format!("api:{FOLDER}/{}:{method}", utf8_percent_encode(registry, IN_PERMISSIONS))
}

/// # Errors
/// 400
fn parameters<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let invalid = |error: QueryRejection| Problem::new(StatusCode::BAD_REQUEST, "invalid-query", error.body_text());
    query.map(|Query(parameters)| parameters).map_err(invalid)
}

/// # Errors
/// 400
pub(super) fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(LIMIT);
    if (1..=LIMIT_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit {limit} is not allowed; allowed: 1 to {LIMIT_MAX}");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail))
}

/// # Errors
/// 400: nothing can have this name.
fn checked_name(member: &str, name: String) -> Result<String, Problem> {
    if name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    let detail = format!("{member} is not allowed; allowed: at most {NAME_BYTES_MAX} bytes of printable text");
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail))
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(%error, "registries cannot be read");
    Problem::unavailable("registries cannot be read at the moment")
}

fn no_such_entry(registry: &str, entry: &str) -> Problem {
    let detail = format!("registry {registry:?} has no entry {entry:?}");
    Problem::new(StatusCode::NOT_FOUND, "no-such-entry", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_does_not_pass_for_another_in_permissions() {
        assert_eq!(permission("parts", "GET"), "api:registries/parts:GET");
        assert_eq!(permission("parts:GET:x", "PUT"), "api:registries/parts%3AGET%3Ax:PUT");
        assert_eq!(permission("a/b*", "GET"), "api:registries/a%2Fb%2A:GET");
    }

    #[test]
    fn a_page_has_a_size() {
        let check = |given: Option<u32>, expected: Option<u32>| assert_eq!(limit(given).ok(), expected, "{given:?}");
        check(None, Some(LIMIT));
        check(Some(1), Some(1));
        check(Some(LIMIT_MAX), Some(LIMIT_MAX));
        check(Some(0), None);
        check(Some(LIMIT_MAX + 1), None);
    }
}
