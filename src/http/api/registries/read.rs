//! `GET /registries/{registry}/entries/{entry}`

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::etag::{self, Tags};
use super::shown::RegistryEntry;
use super::{checked_name, no_such_entry, permission, unavailable};
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;

/// Read an entry
///
/// As it is now. The entity tag is its version: with `If-None-Match` an entry that is still the same is not sent again.
///
/// Needs the permission `api:registries/{registry}:GET`.
#[utoipa::path(
    get, path = "/registries/{registry}/entries/{entry}", operation_id = "read_entry", tag = "registries",
    params(
        ("registry" = String, Path, description = "The registry's name, percent-encoded."),
        ("entry" = String, Path, description = "The entry's name, percent-encoded."),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the caller has."),
    ),
    responses(
        (status = 200, description = "The entry", body = RegistryEntry,
         headers(("ETag" = String, description = "Its version in quotes"))),
        (status = 304, description = "The caller has it as it is"),
    ),
)]
pub(in crate::http::api) async fn read(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (registry, entry) = both_in_path(names)?;
    api.admitted(&headers, &permission(&registry, "GET")).await?;
    let known = etag::weak(&headers, &header::IF_NONE_MATCH)?;
    let stored = api.store().stored_entry(&registry, &entry).await.map_err(|error| unavailable(&error))?;
    let Some(stored) = stored else { return Err(no_such_entry(&registry, &entry)) };
    let version = stored.entry.version;
    let tag = [(header::ETAG, etag::tag(version))];
    let is_known = known.is_some_and(|known| match known {
        Tags::Any => true,
        Tags::Versions(versions) => versions.contains(&version),
    });
    Ok(match is_known {
        true => (StatusCode::NOT_MODIFIED, tag).into_response(),
        false => (tag, Json(RegistryEntry::from(stored))).into_response(),
    })
}

/// # Errors
/// 400
pub(super) fn in_path(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(name) = name.map_err(|error| not_a_name(&error))?;
    checked_name("the registry's name", name)
}

/// Registry and entry.
///
/// # Errors
/// 400
pub(super) fn both_in_path(names: Result<Path<(String, String)>, PathRejection>) -> Result<(String, String), Problem> {
    let Path((registry, entry)) = names.map_err(|error| not_a_name(&error))?;
    Ok((checked_name("the registry's name", registry)?, checked_name("the entry's name", entry)?))
}

fn not_a_name(error: &PathRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-path", error.body_text())
}
