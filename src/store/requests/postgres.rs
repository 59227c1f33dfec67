//! Requests in Postgres.

use std::time::Duration;

use async_trait::async_trait;

use super::{KnownRequest, NewRequest, RESERVE, RESERVED, Requests, Reserved, ReservedRow, reserved};
use crate::store::StoreError;
use crate::store::postgres::Postgres;

const PUBLISHED: &str = "UPDATE http_request SET published_at = now() WHERE id = $1 AND source = $2";

const REQUEST: &str = "SELECT source, (extract(epoch FROM created_at) * 1000)::int8 FROM http_request \
     WHERE id = $1 AND principal = $2 AND ($3::text IS NULL OR source = $3) ORDER BY created_at DESC LIMIT 1";

const PURGE: &str = "DELETE FROM http_request WHERE ctid IN ( \
     SELECT ctid FROM http_request WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)";

#[async_trait]
impl Requests for Postgres {
    async fn reserve(&self, request: &NewRequest) -> Result<Reserved, StoreError> {
        let insert = sqlx::query(RESERVE).bind(&request.id).bind(&request.source).bind(&request.principal);
        let inserted = insert.bind(&request.digest).execute(&self.pool).await.map_err(|e| self.errors.map(&e))?;
        if inserted.rows_affected() == 1 {
            return Ok(Reserved::New);
        }
        let row: Option<ReservedRow> = sqlx::query_as(RESERVED)
            .bind(&request.id)
            .bind(&request.source)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        reserved(request, row)
    }

    async fn published(&self, id: &str, source: &str) -> Result<(), StoreError> {
        let update = sqlx::query(PUBLISHED).bind(id).bind(source).execute(&self.pool).await;
        update.map(drop).map_err(|e| self.errors.map(&e))
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
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map(|(source, created_ms)| KnownRequest { source, created_ms }))
    }

    async fn purge_requests(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        let purge = sqlx::query(PURGE).bind(older_than.as_secs_f64()).bind(i64::from(limit));
        Ok(purge.execute(&self.pool).await.map_err(|e| self.errors.map(&e))?.rows_affected())
    }
}
