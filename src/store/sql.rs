//! Statements that read the same in Postgres and SQLite.

use super::{Entry, Position};

/// The migration that a program has to know that uses this database.
pub(super) const NEEDS: &str = "SELECT max(migration) FROM store_needs";

pub(super) const INBOX: &str = "SELECT result FROM inbox WHERE consumer_group = $1 AND handler = $2 AND source = $3 AND event_id = $4 AND run = $5";

pub(super) const INSERT_INBOX: &str = "INSERT INTO inbox (consumer_group, handler, source, event_id, run, result) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

pub(super) const ENTRY: &str = "SELECT registry, entry, version, data, utids, updated_by FROM registry_entry \
     WHERE registry = $1 AND entry = $2 AND data IS NOT NULL";

pub(super) const STANDING: &str =
    "SELECT version, data IS NOT NULL FROM registry_entry WHERE registry = $1 AND entry = $2";

pub(super) const ENTRIES: &str = "SELECT registry, entry, version, data, utids, updated_by FROM registry_entry \
     WHERE registry = $1 AND entry > $2 AND data IS NOT NULL ORDER BY entry LIMIT $3";

/// Where an entry was last changed from: the four columns `source_…` of `registry_entry`.
pub(super) type PositionColumns = (Option<String>, Option<String>, Option<i32>, Option<i64>);

/// `None` if it is not known.
pub(super) fn position_of((run, topic, partition, offset): PositionColumns) -> Option<Position> {
    Some(Position { run: run?, topic: topic?, partition: partition?, offset: offset? })
}

/// A row of [`ENTRY`] and [`ENTRIES`].
pub(super) type EntryRow = (String, String, i64, String, Option<String>, String);

/// # Errors
/// Data that is not JSON: somebody else wrote it.
pub(super) fn entry_of((registry, entry, version, data, utids, updated_by): EntryRow) -> Result<Entry, sqlx::Error> {
    let data = serde_json::from_str(&data).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(Entry { registry, entry, version, data, utids, updated_by })
}
