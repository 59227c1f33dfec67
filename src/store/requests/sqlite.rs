//! Requests in SQLite.

use std::time::Duration;

use async_trait::async_trait;

use super::{KnownRequest, NewRequest, Requests, Reserved, reserved, vanished};
use crate::store::StoreError;
use crate::store::commit::Refusal;
use crate::store::sqlite::Sqlite;

const RESERVE: &str =
    "INSERT INTO http_request (id, source, principal, digest) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

const RESERVED: &str =
    "SELECT principal, digest, published_at IS NOT NULL FROM http_request WHERE id = $1 AND source = $2";

const PUBLISHED: &str = "UPDATE http_request SET published_at = unixepoch() WHERE id = $1 AND source = $2";

const REQUEST: &str = "SELECT source, created_at * 1000 FROM http_request \
     WHERE id = $1 AND principal = $2 AND ($3 IS NULL OR source = $3) ORDER BY created_at DESC LIMIT 1";

const PURGE: &str = "DELETE FROM http_request WHERE rowid IN ( \
     SELECT rowid FROM http_request WHERE created_at < unixepoch() - $1 ORDER BY created_at LIMIT $2)";

impl Sqlite {
    /// `keep`: whether what it made of them is to stay.
    async fn reserve(
        &self,
        requests: &[NewRequest],
        keep: impl Fn(&[Reserved]) -> bool,
    ) -> Result<Vec<Reserved>, Refusal> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut all = Vec::with_capacity(requests.len());
        for request in requests {
            let insert = sqlx::query(RESERVE).bind(&request.id).bind(&request.source).bind(&request.principal);
            let inserted = insert.bind(&request.digest).execute(&mut *transaction).await?;
            if inserted.rows_affected() == 1 {
                all.push(Reserved::New);
                continue;
            }
            let row = sqlx::query_as(RESERVED).bind(&request.id).bind(&request.source);
            let row: Option<(String, String, bool)> = row.fetch_optional(&mut *transaction).await?;
            let (principal, digest, published) = row.ok_or_else(|| Refusal::Contract(vanished(request)))?;
            all.push(reserved(request, &principal, &digest, published));
        }
        match keep(&all) {
            true => transaction.commit().await?,
            false => transaction.rollback().await?,
        }
        Ok(all)
    }

    async fn note_published(&self, requests: &[NewRequest]) -> Result<(), sqlx::Error> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for request in requests {
            sqlx::query(PUBLISHED).bind(&request.id).bind(&request.source).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    fn refused(&self, refusal: Refusal) -> StoreError {
        match refusal {
            Refusal::Contract(error) => error,
            Refusal::Database(error) => self.errors.map(&error),
        }
    }
}

#[async_trait]
impl Requests for Sqlite {
    async fn reserve_all(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let reserved = self.reserve(requests, |all| !all.contains(&Reserved::Conflict)).await;
        reserved.map_err(|refusal| self.refused(refusal))
    }

    async fn reserve_each(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        self.reserve(requests, |_| true).await.map_err(|refusal| self.refused(refusal))
    }

    async fn published(&self, requests: &[NewRequest]) -> Result<(), StoreError> {
        self.note_published(requests).await.map_err(|e| self.errors.map(&e))
    }

    async fn request(
        &self,
        id: &str,
        source: Option<&str>,
        principal: &str,
    ) -> Result<Option<KnownRequest>, StoreError> {
        let row: Option<(String, i64)> = sqlx::query_as(REQUEST)
            .bind(id)
            .bind(principal)
            .bind(source)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map(|(source, created_ms)| KnownRequest { source, created_ms }))
    }

    async fn purge_requests(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        let seconds = i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX);
        let purge = sqlx::query(PURGE).bind(seconds).bind(i64::from(limit));
        Ok(purge.execute(&self.writer).await.map_err(|e| self.errors.map(&e))?.rows_affected())
    }
}
