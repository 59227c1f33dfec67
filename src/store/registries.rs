//! Reading registries a page at a time, searching them, and trimming what is known of old versions. Entries are written by
//! [`super::Store::commit`] alone, with their words.
//!
//! A page begins after a name or before a version, so that what is written meanwhile moves nothing: an entry that is there all
//! the while is on exactly one page.

pub(super) mod postgres;
pub(super) mod sqlite;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Entry, StoreError};

/// Entries that one page looks at. A page may have fewer than were asked for, or none, and still not be the last.
pub const SCANNED_MAX: u32 = 10_000;

/// Characters of data in one page, or of old entries at a time; one entry or version is always given.
pub const PAGE_CHARS_MAX: i64 = 4 << 20;

/// A registry that has entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySummary {
    pub registry: String,
    pub entries: i64,
}

/// Which entries are looked for: all that it says holds of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Their names begin with this.
    pub prefix: String,
    /// Their names have this somewhere. Case counts.
    pub name: String,
    /// Words that their data has, as [`crate::registry::words::asked`] gives them.
    pub words: BTreeSet<String>,
}

/// A current entry with when and by whom it was last changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    pub entry: Entry,
    pub principal: Option<String>,
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub updated_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntriesPage {
    /// In the order of their names.
    pub entries: Vec<StoredEntry>,
    /// The name after which the next page begins; `None` after the last one.
    pub next: Option<String>,
}

/// One version that an entry had.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVersion {
    pub registry: String,
    pub entry: String,
    pub version: i64,
    /// `None`: it was deleted.
    pub data: Option<Value>,
    pub utids: Option<String>,
    /// The handler.
    pub updated_by: String,
    pub principal: Option<String>,
    /// The event that made it.
    pub source: String,
    pub event_id: String,
    pub updated_ms: i64,
}

/// What is kept of a registry's history: a version goes when it is none of the last `versions` and older than `age`, as far as
/// these are given. The current one stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryKept {
    pub versions: Option<u32>,
    pub age: Option<Duration>,
}

impl HistoryKept {
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.versions.is_none() && self.age.is_none()
    }
}

/// Which entries of a registry are old: those that were last changed before, but for the `kept` that were changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unchanged {
    /// Milliseconds since the Unix epoch, by the database's clock; it counts by its second.
    pub before_ms: i64,
    pub kept: u32,
}

/// Registries, in the same database as everything else.
#[async_trait]
pub trait Registries: Send + Sync {
    /// Those that have entries, by their names, after `after`, at most `limit`.
    async fn registries(&self, after: Option<&str>, limit: u32) -> Result<Vec<RegistrySummary>, StoreError>;

    /// The entry, unless it is deleted.
    async fn stored_entry(&self, registry: &str, entry: &str) -> Result<Option<StoredEntry>, StoreError>;

    /// At most `limit` entries that are looked for, after the name `after`.
    async fn find_entries(
        &self,
        registry: &str,
        filter: &EntryFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<EntriesPage, StoreError>;

    /// Versions of an entry, deletions too, the newest first, before the version `before`, at most `limit`.
    async fn entry_history(
        &self,
        registry: &str,
        entry: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError>;

    /// Indexes at most `limit` entries whose words are not those of their data (an older program wrote them), and says how
    /// many it looked at: fewer than `limit` means that no more are left.
    async fn index_entries(&self, limit: u32) -> Result<u64, StoreError>;

    /// At most `limit` versions that are not to be kept, by entry and version.
    async fn outdated_versions(
        &self,
        registry: &str,
        kept: HistoryKept,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError>;

    /// Deletes these from the history, and says how many were there.
    async fn delete_versions(&self, versions: &[StoredVersion]) -> Result<u64, StoreError>;

    /// At most `limit` current entries that are old, as the versions that they are; the oldest first, at most a page of them.
    async fn unchanged_entries(
        &self,
        registry: &str,
        unchanged: Unchanged,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError>;
}

/// A row of `registry_entry`.
type EntryRow = (String, String, i64, String, Option<String>, String, Option<String>, i64);

fn stored(row: EntryRow) -> Result<StoredEntry, sqlx::Error> {
    let (registry, entry, version, data, utids, updated_by, principal, updated_ms) = row;
    let entry = super::sql::entry_of((registry, entry, version, data, utids, updated_by))?;
    Ok(StoredEntry { entry, principal, updated_ms })
}

/// A row of `registry_history`.
type VersionRow = (String, String, i64, Option<String>, Option<String>, String, Option<String>, String, String, i64);

fn version(row: VersionRow) -> Result<StoredVersion, sqlx::Error> {
    let (registry, entry, version, data, utids, updated_by, principal, source, event_id, updated_ms) = row;
    let data = data.map(|text| serde_json::from_str(&text)).transpose();
    let data = data.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(StoredVersion { registry, entry, version, data, utids, updated_by, principal, source, event_id, updated_ms })
}

/// A row of a page: how many entries were looked at, the last of them, and an entry of it, if it has any.
#[derive(sqlx::FromRow)]
struct PageRow {
    scanned: i64,
    /// Of those that were looked at, at most as many as were asked for.
    matched: i64,
    last: Option<String>,
    entry: Option<String>,
    version: Option<i64>,
    data: Option<String>,
    utids: Option<String>,
    updated_by: Option<String>,
    principal: Option<String>,
    updated_ms: Option<i64>,
}

/// The page of these rows, which are at most `limit` entries, or one row without any.
fn page(registry: &str, rows: Vec<PageRow>, limit: u32) -> Result<EntriesPage, sqlx::Error> {
    let Some(first) = rows.first() else { return Ok(EntriesPage::default()) };
    let is_last = first.scanned < i64::from(SCANNED_MAX);
    let (matched, last) = (usize::try_from(first.matched).unwrap_or(usize::MAX), first.last.clone());
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let PageRow { entry, version, data, utids, updated_by, principal, updated_ms, .. } = row;
        let (Some(entry), Some(version), Some(data)) = (entry, version, data) else { continue };
        let updated_by = updated_by.unwrap_or_default();
        let row =
            (registry.to_owned(), entry, version, data, utids, updated_by, principal, updated_ms.unwrap_or_default());
        entries.push(stored(row)?);
    }
    // A full page goes on behind its last entry, another one behind what was looked at.
    let is_full = entries.len() < matched || entries.len() >= limit as usize;
    let next = match entries.last() {
        Some(last) if is_full => Some(last.entry.entry.clone()),
        _ if is_last => None,
        _ => last,
    };
    Ok(EntriesPage { entries, next })
}

/// The first text that no text with this beginning comes before, by the order of code points, if there is one.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_alike_ends_before_the_next() {
        let check = |prefix: &str, expected: Option<&str>| assert_eq!(after_prefix(prefix).as_deref(), expected);
        check("", None);
        check("ab", Some("ac"));
        check("a\u{10ffff}", Some("b"));
        check("\u{d7ff}", Some("\u{e000}"));
        check("\u{10ffff}", None);
    }
}
