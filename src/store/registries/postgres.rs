//! Registries in Postgres.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{
    EntriesPage, EntryFilter, EntryRow, HistoryKept, PAGE_CHARS_MAX, PageRow, Registries, RegistrySummary, SCANNED_MAX,
    StoredEntry, StoredVersion, Unchanged, VersionRow, after_prefix, page, stored, version,
};
use crate::registry::words;
use crate::store::StoreError;
use crate::store::postgres::Postgres;

const REGISTRIES: &str = "SELECT registry, count(*) FROM registry_entry WHERE registry > $1 AND data IS NOT NULL \
     GROUP BY registry ORDER BY registry LIMIT $2";

const ENTRY: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, \
       (extract(epoch FROM updated_at) * 1000)::int8 \
     FROM registry_entry WHERE registry = $1 AND entry = $2 AND data IS NOT NULL";

/// In one statement, so that the page and where it ends are of one moment.
const FIND: &str = "WITH scanned AS (SELECT entry FROM registry_entry WHERE registry = $1 AND entry > $2 AND entry >= $3 \
       AND ($4::text IS NULL OR entry < $4) AND data IS NOT NULL {words} ORDER BY entry LIMIT $6), \
     matched AS (SELECT entry FROM scanned WHERE $5 = '' OR position($5 IN entry) > 0 ORDER BY entry LIMIT $7) \
     SELECT (SELECT count(*) FROM scanned) AS scanned, (SELECT count(*) FROM matched) AS matched, (SELECT max(entry) FROM scanned) AS last, found.entry, \
       found.version, found.data, found.utids, found.updated_by, found.principal, \
       (extract(epoch FROM found.updated_at) * 1000)::int8 AS updated_ms \
     FROM (SELECT 1) AS one LEFT JOIN (SELECT e.*, sum(length(e.data)) OVER (ORDER BY e.entry) - length(e.data) AS before \
       FROM matched JOIN registry_entry e ON e.registry = $1 AND e.entry = matched.entry) AS found \
       ON found.before < $8 ORDER BY found.entry";

const WITH_WORDS: &str = "AND words @> $9";

const HISTORY: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, source, event_id, \
       (extract(epoch FROM updated_at) * 1000)::int8 FROM (SELECT *, sum(coalesce(length(data), 0)) OVER (ORDER BY version DESC) \
         - coalesce(length(data), 0) AS before FROM registry_history \
         WHERE registry = $1 AND entry = $2 AND version < $3 ORDER BY version DESC LIMIT $4) AS page \
     WHERE before < $5 ORDER BY version DESC";

const UNINDEXED: &str = "SELECT registry, entry, version, data FROM registry_entry \
     WHERE words_version IS DISTINCT FROM version ORDER BY registry, entry LIMIT $1";

/// Of the versions that were read: what was written meanwhile has its words.
const INDEX: &str = "UPDATE registry_entry e SET words = string_to_array(found.words, ' '), words_version = e.version \
     FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[]) AS found (registry, entry, version, words) \
     WHERE e.registry = found.registry AND e.entry = found.entry AND e.version = found.version";

const OUTDATED: &str = "SELECT h.registry, h.entry, h.version, h.data, h.utids, h.updated_by, h.principal, h.source, \
       h.event_id, (extract(epoch FROM h.updated_at) * 1000)::int8 \
     FROM registry_history h JOIN registry_entry e ON e.registry = h.registry AND e.entry = h.entry \
     WHERE h.registry = $1 AND h.version < e.version AND ($2::int8 IS NULL OR h.version <= e.version - $2) \
       AND ($3::float8 IS NULL OR h.updated_at < now() - make_interval(secs => $3)) \
     ORDER BY h.entry, h.version LIMIT $4";

/// The present version is in the history, too.
const UNCHANGED: &str = "SELECT registry, entry, version, data, utids, updated_by, principal, source, event_id, \
       (extract(epoch FROM updated_at) * 1000)::int8 FROM (SELECT *, sum(length(data)) OVER (ORDER BY updated_at, entry) \
         - length(data) AS before FROM (SELECT e.*, h.source, h.event_id FROM registry_entry e \
           JOIN registry_history h ON h.registry = e.registry AND h.entry = e.entry AND h.version = e.version \
           WHERE e.registry = $1 AND e.data IS NOT NULL AND e.updated_at < to_timestamp($2::int8 / 1000) \
           ORDER BY e.updated_at, e.entry LIMIT LEAST($4::int8, GREATEST(0, (SELECT count(*) FROM registry_entry \
             WHERE registry = $1 AND data IS NOT NULL) - $3::int8))) AS oldest) AS page \
     WHERE before < $5 ORDER BY updated_at, entry";

const DELETE: &str = "DELETE FROM registry_history WHERE (registry, entry, version) IN \
     (SELECT * FROM unnest($1::text[], $2::text[], $3::int8[]))";

/// The words as one text: an array of arrays of different lengths is none in Postgres, and words have no blanks.
pub(in crate::store) fn joined(data: &Value) -> String {
    words::of(data).into_iter().collect::<Vec<_>>().join(" ")
}

#[async_trait]
impl Registries for Postgres {
    async fn registries(&self, after: Option<&str>, limit: u32) -> Result<Vec<RegistrySummary>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(REGISTRIES)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(rows.into_iter().map(|(registry, entries)| RegistrySummary { registry, entries }).collect())
    }

    async fn stored_entry(&self, registry: &str, entry: &str) -> Result<Option<StoredEntry>, StoreError> {
        let row: Option<EntryRow> = sqlx::query_as(ENTRY)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.pool)
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
            find = find.bind(filter.words.iter().cloned().collect::<Vec<String>>());
        }
        let rows: Vec<PageRow> = find.fetch_all(&self.pool).await.map_err(|e| self.errors.map(&e))?;
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
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn index_entries(&self, limit: u32) -> Result<u64, StoreError> {
        let rows: Vec<(String, String, i64, Option<String>)> = sqlx::query_as(UNINDEXED)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        if rows.is_empty() {
            return Ok(0);
        }
        let words = |text: &String| serde_json::from_str(text).ok().as_ref().map(joined);
        sqlx::query(INDEX)
            .bind(rows.iter().map(|row| &*row.0).collect::<Vec<&str>>())
            .bind(rows.iter().map(|row| &*row.1).collect::<Vec<&str>>())
            .bind(rows.iter().map(|row| row.2).collect::<Vec<i64>>())
            .bind(rows.iter().map(|row| row.3.as_ref().and_then(words)).collect::<Vec<Option<String>>>())
            .execute(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(rows.len() as u64)
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
            .bind(kept.age.map(|age| age.as_secs_f64()))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn delete_versions(&self, versions: &[StoredVersion]) -> Result<u64, StoreError> {
        let deleted = sqlx::query(DELETE)
            .bind(versions.iter().map(|version| &*version.registry).collect::<Vec<&str>>())
            .bind(versions.iter().map(|version| &*version.entry).collect::<Vec<&str>>())
            .bind(versions.iter().map(|version| version.version).collect::<Vec<i64>>())
            .execute(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(deleted.rows_affected())
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
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(version).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }
}
