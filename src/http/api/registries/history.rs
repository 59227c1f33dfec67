//! `GET /registries/{registry}/entries/{entry}/history`

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::list::Paging;
use super::read::both_in_path;
use super::shown::EntryVersion;
use super::{limit, no_such_entry, parameters, permission, unavailable};
use crate::http::api::cursor;
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;

/// A page of versions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct HistoryPage {
    /// The newest first. There may be fewer than `limit` before the last page.
    versions: Vec<EntryVersion>,
    /// Of the next page; without it this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// Tell an entry's history
///
/// Its versions, the newest first: who changed it, when, by which event, to what. Deletions are versions too. Versions that the
/// registry's policy does not keep are archived and not here.
///
/// Needs the permission `api:registries/{registry}:GET`.
#[utoipa::path(
    get, path = "/registries/{registry}/entries/{entry}/history", operation_id = "entry_history", tag = "registries",
    params(
        ("registry" = String, Path, description = "The registry's name, percent-encoded."),
        ("entry" = String, Path, description = "The entry's name, percent-encoded."),
        ("limit" = Option<u32>, Query, description = "Versions of one page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "Of the page before, for the next one."),
    ),
    responses((status = 200, description = "A page", body = HistoryPage)),
)]
pub(in crate::http::api) async fn history(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Paging>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<HistoryPage>, Problem> {
    let (registry, entry) = both_in_path(names)?;
    api.admitted(&headers, &permission(&registry, "GET")).await?;
    let paging = parameters(query)?;
    let limit = limit(paging.limit)?;
    let named = ["history", &registry, &entry];
    let before: Option<i64> = cursor::decode(&named, paging.cursor.as_deref())?;
    let found = api.store().entry_history(&registry, &entry, before, limit).await;
    let found = found.map_err(|error| unavailable(&error))?;
    if found.is_empty() && before.is_none() {
        return Err(no_such_entry(&registry, &entry));
    }
    let oldest = found.last().map(|last| last.version).filter(|oldest| *oldest > 1);
    let cursor = oldest.map(|oldest| cursor::encode(&named, &oldest));
    Ok(Json(HistoryPage { versions: found.into_iter().map(Into::into).collect(), cursor }))
}
