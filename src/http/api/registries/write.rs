//! `PUT` and `DELETE` of an entry: `POST /registry/update` with a precondition of HTTP's. Whether that holds is known when the
//! handler comes to it, in the order of the entry's requests: 412 is an outcome.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::etag::{self, Tags};
use super::permission;
use super::read::both_in_path;
use crate::http::api::accept::{self, Accepted};
use crate::http::api::body;
use crate::http::api::endpoint::Endpoint;
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;
use crate::registry::Rules;

/// What every request for a change of an entry is published as.
pub(in crate::http::api) fn update() -> Endpoint {
    Endpoint::new("registry/update", "POST")
}

/// Write an entry
///
/// The body is the entry's new data. With `If-Match` it is written if it is at one of these versions (or is there at all, for
/// `*`), with `If-None-Match: *` if it does not exist; else the outcome is 412. Some registries want one of the two (428), and
/// some have a schema (400).
///
/// Needs the permission `api:registries/{registry}:PUT`.
#[utoipa::path(
    put, path = "/registries/{registry}/entries/{entry}", operation_id = "put_entry", tag = "registries",
    params(
        ("registry" = String, Path, description = "The registry's name, percent-encoded."),
        ("entry" = String, Path, description = "The entry's name, percent-encoded."),
        ("If-Match" = Option<String>, Header, description = "Entity tags, of which the entry has one; or *."),
        ("If-None-Match" = Option<String>, Header, description = "*: the entry does not exist."),
    ),
    request_body(content = serde_json::Map<String, Value>, description = "The entry's new data."),
    responses((status = 202, description = "It is published, and not handled yet", body = Accepted)),
)]
pub(in crate::http::api) async fn put(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (registry, entry) = both_in_path(names)?;
    let principal = api.admitted(&headers, &permission(&registry, Method::PUT.as_str())).await?;
    body::check_is_json(&headers)?;
    let bytes = body::read(&headers, body, api.body_limits()).await?;
    let data: Value = body::parse(&bytes)?;
    if !data.is_object() {
        let detail = "the body is not allowed; allowed: an object, which is the entry's data";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-body", detail));
    }
    let request = request(updated(&headers, &registry, &entry, data)?);
    accept::take(&api, &headers, principal, request).await
}

/// Delete an entry
///
/// Its history stays. With `If-Match` it is deleted if it is at one of these versions; else the outcome is 412.
///
/// Needs the permission `api:registries/{registry}:DELETE`.
#[utoipa::path(
    delete, path = "/registries/{registry}/entries/{entry}", operation_id = "delete_entry", tag = "registries",
    params(
        ("registry" = String, Path, description = "The registry's name, percent-encoded."),
        ("entry" = String, Path, description = "The entry's name, percent-encoded."),
        ("If-Match" = Option<String>, Header, description = "Entity tags, of which the entry has one; or *."),
    ),
    responses((status = 202, description = "It is published, and not handled yet", body = Accepted)),
)]
pub(in crate::http::api) async fn delete(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (registry, entry) = both_in_path(names)?;
    let principal = api.admitted(&headers, &permission(&registry, Method::DELETE.as_str())).await?;
    let request = request(updated(&headers, &registry, &entry, Value::Null)?);
    accept::take(&api, &headers, principal, request).await
}

/// What is refused of a change before it is published: the handler would refuse it too.
///
/// # Errors
/// 400, 428.
pub(in crate::http::api) fn check_by(rules: &Rules, update: &Value) -> Result<(), Problem> {
    let registry = update["registryId"].as_str().unwrap_or_default();
    let is_conditional = ["expectedVersion", "ifMatch", "ifNoneMatch"].iter().any(|member| !update[*member].is_null());
    if rules.requires_match(registry) && !is_conditional {
        let detail = format!(
            "who writes to registry {registry:?} has to say which version is changed: If-Match, or If-None-Match: *"
        );
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", detail));
    }
    let errors = rules.errors(registry, &update["data"]);
    if !errors.is_empty() {
        let detail = format!("the data does not fit the schema of registry {registry:?}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-entry", detail).with_errors(errors));
    }
    Ok(())
}

fn request(value: Value) -> accept::Request {
    accept::Request { endpoint: update(), text: value.to_string(), value }
}

/// The body of the request that is published.
fn updated(headers: &HeaderMap, registry: &str, entry: &str, data: Value) -> Result<Value, Problem> {
    let mut update = json!({"registryId": registry, "entryId": entry, "data": data});
    match etag::strong(headers, &header::IF_MATCH)? {
        Some(Tags::Any) => update["ifMatch"] = "*".into(),
        Some(Tags::Versions(versions)) => update["ifMatch"] = versions.into(),
        None => {}
    }
    match etag::weak(headers, &header::IF_NONE_MATCH)? {
        Some(Tags::Any) => update["ifNoneMatch"] = "*".into(),
        Some(Tags::Versions(_)) => {
            let detail = "if-none-match is not allowed; allowed for a change: *";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-precondition", detail));
        }
        None => {}
    }
    Ok(update)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn preconditions_are_part_of_the_request_that_is_published() {
        let check = |list: &[(HeaderName, &str)], expected: Result<Value, u16>| {
            let headers = list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            let made = updated(&headers, "parts", "a", json!({})).map_err(|problem| problem.status.as_u16());
            let conditions = made.map(|made| json!([made["ifMatch"], made["ifNoneMatch"]]));
            assert_eq!(conditions, expected, "{list:?}");
        };
        check(&[], Ok(json!([null, null])));
        check(&[(header::IF_MATCH, "\"7\"")], Ok(json!([[7], null])));
        check(&[(header::IF_MATCH, "*")], Ok(json!(["*", null])));
        check(&[(header::IF_MATCH, "W/\"7\"")], Ok(json!([[], null])));
        check(&[(header::IF_NONE_MATCH, "*")], Ok(json!([null, "*"])));
        check(&[(header::IF_NONE_MATCH, "\"7\"")], Err(400));
        check(&[(header::IF_MATCH, "7")], Err(400));
    }
}
