//! Statements that read the same in Postgres and SQLite.

use super::Entry;

pub(super) const INBOX: &str =
    "SELECT result FROM inbox WHERE handler = $1 AND source = $2 AND event_id = $3 AND run = $4";

pub(super) const INSERT_INBOX: &str = "INSERT INTO inbox (handler, source, event_id, run, result) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

pub(super) const ENTRY: &str = "SELECT registry, entry, version, data, utids, updated_by FROM registry_entry \
     WHERE registry = $1 AND entry = $2 AND data IS NOT NULL";

pub(super) const ENTRIES: &str = "SELECT registry, entry, version, data, utids, updated_by FROM registry_entry \
     WHERE registry = $1 AND entry > $2 AND data IS NOT NULL ORDER BY entry LIMIT $3";

/// A row of [`ENTRY`] and [`ENTRIES`].
pub(super) type EntryRow = (String, String, i64, String, Option<String>, String);

/// # Errors
/// Data that is not JSON: somebody else wrote it.
pub(super) fn entry_of((registry, entry, version, data, utids, updated_by): EntryRow) -> Result<Entry, sqlx::Error> {
    let data = serde_json::from_str(&data).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(Entry { registry, entry, version, data, utids, updated_by })
}
