//! Requests in Postgres.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;

use super::{KnownRequest, NewRequest, RESERVE, RESERVED, Requests, Reserved, ReservedRow, reserved};
use crate::store::StoreError;
use crate::store::postgres::Postgres;

/// In the order of their ids, so that of two batches that have ids in common one waits for the other, and never both.
const RESERVE_ALL: &str = "INSERT INTO http_request (id, source, principal, digest) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ORDER BY 1, 2 \
     ON CONFLICT DO NOTHING RETURNING id, source";

const RESERVED_ALL: &str = "SELECT id, source, principal, digest, published_at IS NOT NULL FROM http_request \
     WHERE (id, source) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

const PUBLISHED: &str = "UPDATE http_request SET published_at = now() \
     WHERE (id, source) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

const REQUEST: &str = "SELECT source, (extract(epoch FROM created_at) * 1000)::int8 FROM http_request \
     WHERE id = $1 AND principal = $2 AND ($3::text IS NULL OR source = $3) ORDER BY created_at DESC LIMIT 1";

const PURGE: &str = "DELETE FROM http_request WHERE ctid IN ( \
     SELECT ctid FROM http_request WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)";

/// One column of several requests, for `unnest`.
fn column<'a>(requests: &'a [NewRequest], of: impl Fn(&'a NewRequest) -> &'a str) -> Vec<&'a str> {
    requests.iter().map(of).collect()
}

impl Postgres {
    async fn reserve_one(&self, request: &NewRequest) -> Result<Reserved, StoreError> {
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

    async fn reserve_all(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.errors.map(&e))?;
        let (ids, sources) = (column(requests, |r| &r.id), column(requests, |r| &r.source));
        let inserted: Vec<(String, String)> = sqlx::query_as(RESERVE_ALL)
            .bind(&ids)
            .bind(&sources)
            .bind(column(requests, |r| &r.principal))
            .bind(column(requests, |r| &r.digest))
            .fetch_all(&mut *transaction)
            .await
            .map_err(|e| self.errors.map(&e))?;
        let new: HashSet<(&str, &str)> = inserted.iter().map(|(id, source)| (id.as_str(), source.as_str())).collect();
        let rows: Vec<(String, String, String, String, bool)> = match new.len() == requests.len() {
            true => Vec::new(),
            false => sqlx::query_as(RESERVED_ALL)
                .bind(&ids)
                .bind(&sources)
                .fetch_all(&mut *transaction)
                .await
                .map_err(|e| self.errors.map(&e))?,
        };
        let mut there: HashMap<(String, String), ReservedRow> = HashMap::with_capacity(rows.len());
        for (id, source, principal, digest, published) in rows {
            there.insert((id, source), (principal, digest, published));
        }
        let mut known = |request: &NewRequest| match new.contains(&(&*request.id, &*request.source)) {
            true => Ok(Reserved::New),
            false => reserved(request, there.remove(&(request.id.clone(), request.source.clone()))),
        };
        let all = requests.iter().map(&mut known).collect::<Result<Vec<_>, _>>()?;
        let ended = match all.contains(&Reserved::Conflict) {
            true => transaction.rollback().await,
            false => transaction.commit().await,
        };
        ended.map_err(|e| self.errors.map(&e))?;
        Ok(all)
    }
}

#[async_trait]
impl Requests for Postgres {
    /// A single one needs no transaction. One is carried out in a task of its own, as `commit` says.
    #[expect(clippy::disallowed_methods, reason = "a transaction must end although nobody waits for it any more")]
    async fn reserve(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        if let [only] = requests {
            return Ok(vec![self.reserve_one(only).await?]);
        }
        let (store, requests) = (self.clone(), requests.to_vec());
        let reserved = tokio::spawn(async move { store.reserve_all(&requests).await }).await;
        reserved.map_err(|error| self.errors.unavailable(format!("the transaction ended: {error}")))?
    }

    async fn published(&self, requests: &[NewRequest]) -> Result<(), StoreError> {
        let update = sqlx::query(PUBLISHED).bind(column(requests, |r| &r.id)).bind(column(requests, |r| &r.source));
        update.execute(&self.pool).await.map(drop).map_err(|e| self.errors.map(&e))
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
