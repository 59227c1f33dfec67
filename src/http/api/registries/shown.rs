//! What callers see of registries.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::{StoredEntry, StoredVersion};

/// An entry as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct RegistryEntry {
    registry: String,
    entry: String,
    /// Grows by one with each change; the entity tag.
    version: i64,
    /// What was written, JSON.
    data: Value,
    /// Separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    utids: Option<String>,
    /// The handler that wrote it.
    updated_by: String,
    /// Who asked for the last change, if somebody did over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    principal: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// One version that an entry had.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct EntryVersion {
    version: i64,
    /// Whether this version was the entry's deletion.
    deleted: bool,
    /// What was written, JSON; nothing of a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    utids: Option<String>,
    updated_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    principal: Option<String>,
    /// The event that made it: CloudEvents source and id.
    source: String,
    event_id: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<StoredEntry> for RegistryEntry {
    fn from(stored: StoredEntry) -> Self {
        let StoredEntry { entry, principal, updated_ms } = stored;
        Self {
            registry: entry.registry,
            entry: entry.entry,
            version: entry.version,
            data: entry.data,
            utids: entry.utids,
            updated_by: entry.updated_by,
            principal,
            updated_at: time(updated_ms),
        }
    }
}

impl From<StoredVersion> for EntryVersion {
    fn from(stored: StoredVersion) -> Self {
        let StoredVersion { version, data, utids, updated_by, principal, source, event_id, updated_ms, .. } = stored;
        let (deleted, updated_at) = (data.is_none(), time(updated_ms));
        Self { version, deleted, data, utids, updated_by, principal, source, event_id, updated_at }
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
