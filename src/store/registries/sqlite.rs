//! Registries in SQLite.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Sqlite as Driver};

use super::{
    EntriesPage, EntryFilter, EntryRow, HistoryKept, PAGE_CHARS_MAX, PageRow, Registries, RegistrySummary, SCANNED_MAX,
    StoredEntry, StoredVersion, Unchanged, VersionRow, after_prefix, page, stored, version,
};
use crate::registry::words;
use crate::store::StoreError;
use crate::store::sqlite::Sqlite;

const REGISTRIES: &str = "SELECT registry, count(*) FROM registry_entry WHERE registry > $1 AND data IS NOT NULL \
     GROUP BY registry ORDER BY registry LIMIT $2";

const ENTRY: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, updated_at * 1000 \
     FROM registry_entry WHERE registry = $1 AND entry = $2 AND data IS NOT NULL";

/// In one statement, so that the page and where it ends are of one moment.
const FIND: &str = "WITH scanned AS (SELECT entry FROM registry_entry WHERE registry = $1 AND entry > $2 AND entry >= $3 \
       AND ($4 IS NULL OR entry < $4) AND data IS NOT NULL {words} ORDER BY entry LIMIT $6), \
     matched AS (SELECT entry FROM scanned WHERE $5 = '' OR instr(entry, $5) > 0 ORDER BY entry LIMIT $7) \
     SELECT (SELECT count(*) FROM scanned) AS scanned, (SELECT count(*) FROM matched) AS matched, (SELECT max(entry) FROM scanned) AS last, found.entry, \
       found.version, found.data, found.utids, found.updated_by, found.principal, found.updated_at * 1000 AS updated_ms \
     FROM (SELECT 1) LEFT JOIN (SELECT e.*, sum(length(e.data)) OVER (ORDER BY e.entry) - length(e.data) AS before \
       FROM matched JOIN registry_entry e ON e.registry = $1 AND e.entry = matched.entry) AS found \
       ON found.before < $8 ORDER BY found.entry";

const WITH_WORDS: &str = "AND entry IN (SELECT entry FROM registry_word WHERE registry = $1 \
       AND word IN (SELECT value FROM json_each($9)) GROUP BY entry HAVING count(*) = json_array_length($9))";

const HISTORY: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, source, event_id, \
       updated_at * 1000 FROM (SELECT *, sum(coalesce(length(data), 0)) OVER (ORDER BY version DESC) \
         - coalesce(length(data), 0) AS before FROM registry_history \
         WHERE registry = $1 AND entry = $2 AND version < $3 ORDER BY version DESC LIMIT $4) AS page \
     WHERE before < $5 ORDER BY version DESC";

const UNINDEXED: &str = "SELECT registry, entry, data FROM registry_entry WHERE words_version IS NOT version \
     ORDER BY registry, entry LIMIT $1";

const INDEXED: &str = "UPDATE registry_entry SET words_version = version WHERE registry = $1 AND entry = $2";

const OUTDATED: &str = "SELECT h.registry, h.entry, h.version, h.data, h.utids, h.updated_by, h.principal, h.source, \
       h.event_id, h.updated_at * 1000 \
     FROM registry_history h JOIN registry_entry e ON e.registry = h.registry AND e.entry = h.entry \
     WHERE h.registry = $1 AND h.version < e.version AND ($2 IS NULL OR h.version <= e.version - $2) \
       AND ($3 IS NULL OR h.updated_at < unixepoch() - $3) ORDER BY h.entry, h.version LIMIT $4";

/// The present version is in the history, too.
const UNCHANGED: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, source, event_id, \
       updated_at * 1000 FROM (SELECT *, sum(length(data)) OVER (ORDER BY updated_at, entry) \
         - length(data) AS before FROM (SELECT e.*, h.source, h.event_id FROM registry_entry e \
           JOIN registry_history h ON h.registry = e.registry AND h.entry = e.entry AND h.version = e.version \
           WHERE e.registry = $1 AND e.data IS NOT NULL AND e.updated_at < $2 / 1000 \
           ORDER BY e.updated_at, e.entry LIMIT min($4, max(0, (SELECT count(*) FROM registry_entry \
             WHERE registry = $1 AND data IS NOT NULL) - $3))) AS oldest) AS page \
     WHERE before < $5 ORDER BY updated_at, entry";

const DELETE: &str = "DELETE FROM registry_history WHERE registry = $1 AND entry = $2 AND version = $3";

const FORGET_WORDS: &str = "DELETE FROM registry_word WHERE registry = $1 AND entry = $2";

const ADD_WORDS: &str = "INSERT INTO registry_word (registry, word, entry) SELECT $1, value, $3 FROM json_each($2)";

/// Writes the words of an entry in the transaction that writes the entry.
pub(in crate::store) async fn index(
    transaction: &mut sqlx::Transaction<'static, Driver>,
    registry: &str,
    entry: &str,
    data: Option<&Value>,
) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET_WORDS).bind(registry).bind(entry).execute(&mut **transaction).await?;
    let words = data.map(words::of).unwrap_or_default();
    if !words.is_empty() {
        let words = serde_json::to_string(&words).expect("texts are JSON");
        sqlx::query(ADD_WORDS).bind(registry).bind(words).bind(entry).execute(&mut **transaction).await?;
    }
    Ok(())
}

impl Sqlite {
    async fn index_more(&self, limit: u32) -> Result<u64, sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let rows: Vec<(String, String, Option<String>)> =
            sqlx::query_as(UNINDEXED).bind(i64::from(limit)).fetch_all(&mut *transaction).await?;
        for (registry, entry, data) in &rows {
            let data: Option<Value> = data.as_deref().and_then(|text| serde_json::from_str(text).ok());
            index(&mut transaction, registry, entry, data.as_ref()).await?;
            sqlx::query(INDEXED).bind(registry).bind(entry).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(rows.len() as u64)
    }
}

#[async_trait]
impl Registries for Sqlite {
    async fn registries(&self, after: Option<&str>, limit: u32) -> Result<Vec<RegistrySummary>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(REGISTRIES)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(rows.into_iter().map(|(registry, entries)| RegistrySummary { registry, entries }).collect())
    }

    async fn stored_entry(&self, registry: &str, entry: &str) -> Result<Option<StoredEntry>, StoreError> {
        let row: Option<EntryRow> = sqlx::query_as(ENTRY)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        row.map(stored).transpose().map_err(|e| self.errors.map(&e))
    }

    async fn find_entries(
        &self,
        registry: &str,
        filter: &EntryFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<EntriesPage, StoreError> {
        let statement = FIND.replace("{words}", if filter.words.is_empty() { "" } else { WITH_WORDS });
        // Put together from constants.
        let mut find = sqlx::query_as(AssertSqlSafe(statement))
            .bind(registry)
            .bind(after.unwrap_or_default())
            .bind(&filter.prefix)
            .bind(after_prefix(&filter.prefix))
            .bind(&filter.name)
            .bind(i64::from(SCANNED_MAX))
            .bind(i64::from(limit))
            .bind(PAGE_CHARS_MAX);
        if !filter.words.is_empty() {
            find = find.bind(serde_json::to_string(&filter.words).expect("texts are JSON"));
        }
        let rows: Vec<PageRow> = find.fetch_all(&self.readers).await.map_err(|e| self.errors.map(&e))?;
        page(registry, rows, limit).map_err(|e| self.errors.map(&e))
    }

    async fn entry_history(
        &self,
        registry: &str,
        entry: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let rows: Vec<VersionRow> = sqlx::query_as(HISTORY)
            .bind(registry)
            .bind(entry)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .bind(PAGE_CHARS_MAX)
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn index_entries(&self, limit: u32) -> Result<u64, StoreError> {
        self.index_more(limit).await.map_err(|e| self.errors.map(&e))
    }

    async fn outdated_versions(
        &self,
        registry: &str,
        kept: HistoryKept,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        if kept.is_everything() {
            return Ok(Vec::new());
        }
        let rows: Vec<VersionRow> = sqlx::query_as(OUTDATED)
            .bind(registry)
            .bind(kept.versions.map(i64::from))
            .bind(kept.age.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn delete_versions(&self, versions: &[StoredVersion]) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for StoredVersion { registry, entry, version, .. } in versions {
            let delete = sqlx::query(DELETE).bind(registry).bind(entry).bind(version).execute(&self.writer).await;
            deleted += delete.map_err(|e| self.errors.map(&e))?.rows_affected();
        }
        Ok(deleted)
    }

    async fn unchanged_entries(
        &self,
        registry: &str,
        unchanged: Unchanged,
        limit: u32,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let rows: Vec<VersionRow> = sqlx::query_as(UNCHANGED)
            .bind(registry)
            .bind(unchanged.before_ms)
            .bind(i64::from(unchanged.kept))
            .bind(i64::from(limit))
            .bind(PAGE_CHARS_MAX)
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }
}
