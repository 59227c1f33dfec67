//! `GET /registries` and `GET /registries/{registry}/entries`: what there is, a page at a time.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shown::RegistryEntry;
use super::{FOLDER, checked_name, limit, parameters, permission, unavailable};
use crate::http::api::cursor;
use crate::http::api::problem::Problem;
use crate::http::api::router::Api;
use crate::registry::words;
use crate::store::EntryFilter;

/// Of a search.
const QUERY_BYTES_MAX: usize = 1_024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct Paging {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct Sought {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    name: String,
    q: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of registries.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct RegistriesPage {
    registries: Vec<Registry>,
    /// Of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// A registry that has entries.
#[derive(Debug, Serialize, ToSchema)]
struct Registry {
    name: String,
    entries: i64,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct EntriesPage {
    /// In the order of their names. There may be fewer than `limit`, or none, before the last page.
    entries: Vec<RegistryEntry>,
    /// Of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cursor: Option<String>,
}

/// List registries
///
/// Those that have entries, with how many they have, in the order of their names.
///
/// Needs the permission `api:registries:GET`.
#[utoipa::path(
    get, path = "/registries", operation_id = "list_registries", tag = "registries",
    params(
        ("limit" = Option<u32>, Query, description = "Registries of one page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "Of the page before, for the next one."),
    ),
    responses((status = 200, description = "A page", body = RegistriesPage)),
)]
pub(in crate::http::api) async fn registries(
    State(api): State<Api>,
    query: Result<Query<Paging>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<RegistriesPage>, Problem> {
    api.admitted(&headers, &format!("api:{FOLDER}:GET")).await?;
    let paging = parameters(query)?;
    let limit = limit(paging.limit)?;
    let after: Option<String> = cursor::decode(&[FOLDER], paging.cursor.as_deref())?;
    let found = api.store().registries(after.as_deref(), limit).await.map_err(|error| unavailable(&error))?;
    let is_full = found.len() >= limit as usize;
    let cursor = found.last().filter(|_| is_full).map(|last| cursor::encode(&[FOLDER], &last.registry));
    let registries = found.into_iter().map(|found| Registry { name: found.registry, entries: found.entries }).collect();
    Ok(Json(RegistriesPage { registries, cursor }))
}

/// List and search entries
///
/// Entries of a registry in the order of their names: all of them, or those whose name begins with `prefix`, whose name has
/// `name` in it, and whose data has every word of `q` in its texts, in whatever case. An entry that is there all the while is on
/// exactly one page, whatever is written meanwhile.
///
/// Needs the permission `api:registries/{registry}:GET`.
#[utoipa::path(
    get, path = "/registries/{registry}/entries", operation_id = "find_entries", tag = "registries",
    params(
        ("registry" = String, Path, description = "The registry's name, percent-encoded."),
        ("prefix" = Option<String>, Query, description = "What names begin with."),
        ("name" = Option<String>, Query, description = "What names have in them."),
        ("q" = Option<String>, Query, description = "Words that the data has."),
        ("limit" = Option<u32>, Query, description = "Entries of one page.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "Of the page before, for the next one."),
    ),
    responses((status = 200, description = "A page; of a registry that does not exist an empty one", body = EntriesPage)),
)]
pub(in crate::http::api) async fn entries(
    State(api): State<Api>,
    registry: Result<Path<String>, PathRejection>,
    query: Result<Query<Sought>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<EntriesPage>, Problem> {
    let registry = super::read::in_path(registry)?;
    api.admitted(&headers, &permission(&registry, "GET")).await?;
    let sought = parameters(query)?;
    let limit = limit(sought.limit)?;
    let text = sought.q.unwrap_or_default();
    let filter = EntryFilter {
        prefix: checked_name("prefix", sought.prefix)?,
        name: checked_name("name", sought.name)?,
        words: words(&text)?,
    };
    let named = ["entries", &registry, &filter.prefix, &filter.name, &text];
    let after: Option<String> = cursor::decode(&named, sought.cursor.as_deref())?;
    let found = api.store().find_entries(&registry, &filter, after.as_deref(), limit).await;
    let page = found.map_err(|error| unavailable(&error))?;
    let cursor = page.next.map(|next| cursor::encode(&named, &next));
    Ok(Json(EntriesPage { entries: page.entries.into_iter().map(Into::into).collect(), cursor }))
}

fn words(text: &str) -> Result<std::collections::BTreeSet<String>, Problem> {
    let words = if text.len() > QUERY_BYTES_MAX { Default::default() } else { words::asked(text) };
    if words.is_empty() && !text.is_empty() {
        let detail = format!("q is not allowed; allowed: words, at most {QUERY_BYTES_MAX} bytes of them");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail));
    }
    Ok(words)
}
