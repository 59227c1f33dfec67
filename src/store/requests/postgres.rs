//! Requests in Postgres.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{KnownRequest, NewRequest, Requests, Reserved, reserved, vanished};
use crate::store::StoreError;
use crate::store::postgres::Postgres;

/// In the order of their ids, so that of two batches that have ids in common one waits for the other, and never both.
const RESERVE: &str = "INSERT INTO http_request (id, source, principal, digest) \
     SELECT id, source, principal, digest FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
       WITH ORDINALITY AS request (id, source, principal, digest, place) ORDER BY id, source, place \
     ON CONFLICT DO NOTHING RETURNING id, source, principal, digest";

const RESERVED: &str = "SELECT id, source, principal, digest, published_at IS NOT NULL FROM http_request \
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

/// Whose a request is, and how far it came.
struct Owner {
    principal: String,
    digest: String,
    /// It was nobody's before this statement, and none of its requests has been told so yet.
    new: bool,
    published: bool,
}

impl Postgres {
    async fn reserve(&self, on: &mut PgConnection, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let (ids, sources) = (column(requests, |r| &r.id), column(requests, |r| &r.source));
        let inserted: Vec<(String, String, String, String)> = sqlx::query_as(RESERVE)
            .bind(&ids)
            .bind(&sources)
            .bind(column(requests, |r| &r.principal))
            .bind(column(requests, |r| &r.digest))
            .fetch_all(&mut *on)
            .await
            .map_err(|e| self.errors.map(&e))?;
        let there: Vec<(String, String, String, String, bool)> = match inserted.len() == requests.len() {
            true => Vec::new(),
            false => sqlx::query_as(RESERVED)
                .bind(&ids)
                .bind(&sources)
                .fetch_all(&mut *on)
                .await
                .map_err(|e| self.errors.map(&e))?,
        };
        let there = there.into_iter().map(|(id, source, principal, digest, published)| {
            ((id, source), Owner { principal, digest, new: false, published })
        });
        let inserted = inserted.into_iter().map(|(id, source, principal, digest)| {
            ((id, source), Owner { principal, digest, new: true, published: false })
        });
        // What was inserted is read again by the second statement.
        let mut owners: HashMap<(String, String), Owner> = there.chain(inserted).collect();
        let mut known = |request: &NewRequest| {
            let owner = owners.get_mut(&(request.id.clone(), request.source.clone()));
            let owner = owner.ok_or_else(|| vanished(request))?;
            let reserved = reserved(request, &owner.principal, &owner.digest, owner.published);
            let first = reserved != Reserved::Conflict && std::mem::take(&mut owner.new);
            Ok(if first { Reserved::New } else { reserved })
        };
        requests.iter().map(&mut known).collect()
    }

    async fn reserve_whole(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.errors.map(&e))?;
        let all = self.reserve(&mut transaction, requests).await?;
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
    /// In a task of its own, as `commit` says.
    #[expect(clippy::disallowed_methods, reason = "a transaction must end although nobody waits for it any more")]
    async fn reserve_all(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let (store, requests) = (self.clone(), requests.to_vec());
        let reserved = tokio::spawn(async move { store.reserve_whole(&requests).await }).await;
        reserved.map_err(|error| self.errors.unavailable(format!("the transaction ended: {error}")))?
    }

    /// One statement is one transaction.
    async fn reserve_each(&self, requests: &[NewRequest]) -> Result<Vec<Reserved>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(|e| self.errors.map(&e))?;
        self.reserve(&mut connection, requests).await
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
