//! The store on Postgres.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::commit::{self, Refusal, State, Transaction};
use super::error::Errors;
use super::open::{Settings, migration_error, newest, too_old};
use super::{
    Committed, Entry, EntryChange, EntryStanding, Fence, InboxKey, NewNotice, RunChange, Store, StoreError, UnitOfWork,
    sql,
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Waiting for another replica's migration included.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);
/// As libpq and sqlx call them.
const CERTIFICATES: [&str; 7] = ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
const PING_TIMEOUT: Duration = Duration::from_secs(1);

const OWNER: &str = "SELECT epoch FROM partition_owner \
     WHERE consumer_group = $1 AND topic = $2 AND partition_id = $3 FOR SHARE";

/// Sorted, so that two replicas that claim the same partitions take the rows in the same order.
const CLAIM: &str = "INSERT INTO partition_owner (consumer_group, topic, partition_id, epoch) \
     SELECT $1, topic, partition_id, GREATEST(1, at_least) \
     FROM unnest($2::text[], $3::int4[], $4::int8[]) AS claim (topic, partition_id, at_least) \
     ORDER BY topic, partition_id \
     ON CONFLICT (consumer_group, topic, partition_id) DO UPDATE \
     SET epoch = GREATEST(partition_owner.epoch + 1, excluded.epoch), claimed_at = now() \
     RETURNING topic, partition_id, epoch";

const STATES: &str = "SELECT registry, entry, version, data IS NOT NULL, \
       source_run, source_topic, source_partition, source_offset FROM registry_entry \
     WHERE (registry, entry) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY registry, entry FOR UPDATE";

const WRITE: &str = "WITH written AS ( \
       INSERT INTO registry_entry (registry, entry, version, data, utids, updated_by, \
         source_run, source_topic, source_partition, source_offset, principal, words, words_version) \
       SELECT registry, entry, 1, data, utids, $5, run, topic, partition_id, at, principal, \
         string_to_array(words, ' '), 1 \
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $8::text[], $9::text[], $10::int4[], $11::int8[], \
           $12::text[], $13::text[]) \
         AS change (registry, entry, data, utids, run, topic, partition_id, at, principal, words) \
       ON CONFLICT (registry, entry) DO UPDATE SET version = registry_entry.version + 1, data = excluded.data, \
         utids = excluded.utids, updated_by = excluded.updated_by, updated_at = now(), \
         source_run = excluded.source_run, source_topic = excluded.source_topic, \
         source_partition = excluded.source_partition, source_offset = excluded.source_offset, \
         principal = excluded.principal, words = excluded.words, words_version = registry_entry.version + 1 \
       RETURNING registry, entry, version, data, utids, updated_by, principal) \
     INSERT INTO registry_history (registry, entry, version, data, utids, updated_by, source, event_id, principal) \
     SELECT registry, entry, version, data, utids, updated_by, $6, $7, principal FROM written \
     RETURNING registry, entry, version";

const PURGE_INBOX: &str = "DELETE FROM inbox WHERE ctid IN ( \
     SELECT ctid FROM inbox WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)";

/// A row of [`STATES`].
type StateRow = (String, String, i64, bool, Option<String>, Option<String>, Option<i32>, Option<i64>);

#[derive(Clone, Debug)]
pub(super) struct Postgres {
    pub(super) pool: PgPool,
    pub(super) errors: Errors,
}

impl Postgres {
    pub(super) async fn open(url: &str, settings: &Settings, errors: Errors) -> Result<Self, StoreError> {
        let options: PgConnectOptions =
            url.parse().map_err(|_| errors.address("postgres://user:password@host:port/database"))?;
        check_certificates(url, &errors)?;
        let options = options.application_name("coafi");
        migrate(&options, settings, &errors).await?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options.options([
                ("statement_timeout", millis(settings.statement_timeout)),
                ("lock_timeout", millis(settings.lock_timeout)),
                ("idle_in_transaction_session_timeout", millis(settings.lock_timeout)),
            ]))
            .await
            .map_err(|e| errors.map(&e))?;
        Ok(Self { pool, errors })
    }

    fn refused(&self, refusal: Refusal) -> StoreError {
        match refusal {
            Refusal::Contract(error) => error,
            Refusal::Database(error) => self.errors.map(&error),
        }
    }

    async fn try_commit(&self, work: &UnitOfWork) -> Result<Committed, Refusal> {
        let mut transaction = self.pool.begin().await?;
        let committed = commit::run(&mut transaction, work).await?;
        match committed {
            Committed::Written(_) => transaction.commit().await?,
            Committed::Already(_) => transaction.rollback().await?,
        }
        Ok(committed)
    }
}

/// Files that the address names, which the driver reads when it connects: it would not say which of them is missing, and take that
/// for a database that is away.
fn check_certificates(url: &str, errors: &Errors) -> Result<(), StoreError> {
    let Ok(url) = url::Url::parse(url) else { return Ok(()) };
    for (name, file) in url.query_pairs().filter(|(name, _)| CERTIFICATES.contains(&&**name)) {
        std::fs::File::open(&*file).map_err(|error| errors.file(&name, &file, &error))?;
    }
    Ok(())
}

/// On a connection of its own: waiting for another replica's migration must not hit the statement time-out. sqlx holds an
/// advisory lock meanwhile; that of a process that dies goes with its session.
async fn migrate(options: &PgConnectOptions, settings: &Settings, errors: &Errors) -> Result<(), StoreError> {
    let migrating = async {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(settings.acquire_timeout);
        let pool = pool.connect_with(options.clone()).await.map_err(|e| errors.map(&e))?;
        // A replica of an older version may start after a newer one has migrated: migrations only add.
        let mut migrations = Migrator { ..Migrator::DEFAULT };
        migrations.migrations = MIGRATIONS.migrations.clone();
        migrations.set_ignore_missing(true);
        let migrated = match migrations.run(&pool).await {
            Ok(()) => sqlx::query_scalar(sql::NEEDS)
                .fetch_one(&pool)
                .await
                .map_err(|e| errors.map(&e))
                .and_then(|needs| too_old(errors, needs, newest(&MIGRATIONS))),
            Err(error) => Err(migration_error(errors, error)),
        };
        pool.close().await;
        migrated
    };
    let ended = tokio::time::timeout(MIGRATION_TIMEOUT, migrating).await;
    ended.unwrap_or_else(|_| Err(errors.unavailable("migrating took too long; another replica may hold the lock")))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[async_trait]
impl Store for Postgres {
    async fn ping(&self) -> Result<(), StoreError> {
        let answer = tokio::time::timeout(PING_TIMEOUT, sqlx::query("SELECT 1").execute(&self.pool)).await;
        answer.map_err(|_| self.errors.unavailable("no answer within a second"))?.map_err(|e| self.errors.map(&e))?;
        Ok(())
    }

    async fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, StoreError> {
        let wanted = super::claim::distinct(partitions);
        let topics: Vec<&str> = wanted.iter().map(|((topic, _), _)| *topic).collect();
        let numbers: Vec<i32> = wanted.iter().map(|((_, partition), _)| *partition).collect();
        let at_least: Vec<i64> = wanted.values().copied().collect();
        let rows: Vec<(String, i32, i64)> = sqlx::query_as(CLAIM)
            .bind(group)
            .bind(topics)
            .bind(numbers)
            .bind(at_least)
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        super::claim::in_order(group, partitions, rows)
    }

    async fn inbox(&self, key: &InboxKey) -> Result<Option<Bytes>, StoreError> {
        let row: Option<Vec<u8>> = sqlx::query_scalar(sql::INBOX)
            .bind(&key.group)
            .bind(&key.handler)
            .bind(&key.source)
            .bind(&key.id)
            .bind(&key.run)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map(Bytes::from))
    }

    /// In a task of its own, which ends within the database's time-outs. A handler may be cancelled at any point, and a
    /// `begin` of sqlx that is dropped can leave its connection in a transaction that nobody ends: whatever is done with that
    /// connection later is never committed. A commit that nobody waited for is found in the inbox by the next attempt (I9).
    #[expect(clippy::disallowed_methods, reason = "a transaction must end although nobody waits for it any more")]
    async fn commit(&self, work: UnitOfWork) -> Result<Committed, StoreError> {
        let store = self.clone();
        let committed = tokio::spawn(async move { store.try_commit(&work).await }).await;
        let committed =
            committed.map_err(|error| self.errors.unavailable(format!("the transaction ended: {error}")))?;
        committed.map_err(|refusal| self.refused(refusal))
    }

    async fn entry(&self, registry: &str, entry: &str) -> Result<Option<Entry>, StoreError> {
        let row: Option<sql::EntryRow> = sqlx::query_as(sql::ENTRY)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        row.map(sql::entry_of).transpose().map_err(|e| self.errors.map(&e))
    }

    async fn standing(&self, registry: &str, entry: &str) -> Result<EntryStanding, StoreError> {
        let row: Option<(i64, bool)> = sqlx::query_as(sql::STANDING)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map_or_else(EntryStanding::default, |(version, present)| EntryStanding { version, present }))
    }

    async fn entries(&self, registry: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<sql::EntryRow> = sqlx::query_as(sql::ENTRIES)
            .bind(registry)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(sql::entry_of).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn purge_inbox(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        let deleted = sqlx::query(PURGE_INBOX)
            .bind(older_than.as_secs_f64())
            .bind(i64::from(limit))
            .execute(&self.pool)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(deleted.rows_affected())
    }
}

#[async_trait]
impl Transaction for sqlx::Transaction<'static, sqlx::Postgres> {
    async fn owner_epoch(&mut self, fence: &Fence) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(OWNER)
            .bind(&fence.group)
            .bind(&fence.topic)
            .bind(fence.partition)
            .fetch_optional(&mut **self)
            .await
    }

    async fn insert_inbox(&mut self, key: &InboxKey, result: &[u8]) -> Result<bool, sqlx::Error> {
        let insert = sqlx::query(sql::INSERT_INBOX)
            .bind(&key.group)
            .bind(&key.handler)
            .bind(&key.source)
            .bind(&key.id)
            .bind(&key.run);
        Ok(insert.bind(result).execute(&mut **self).await?.rows_affected() == 1)
    }

    async fn inbox(&mut self, key: &InboxKey) -> Result<Option<Bytes>, sqlx::Error> {
        let select = sqlx::query_scalar(sql::INBOX)
            .bind(&key.group)
            .bind(&key.handler)
            .bind(&key.source)
            .bind(&key.id)
            .bind(&key.run);
        let row: Option<Vec<u8>> = select.fetch_optional(&mut **self).await?;
        Ok(row.map(Bytes::from))
    }

    async fn states(&mut self, changes: &[&EntryChange]) -> Result<Vec<State>, sqlx::Error> {
        let rows: Vec<StateRow> = sqlx::query_as(STATES)
            .bind(column(changes, |c| c.registry.as_str()))
            .bind(column(changes, |c| c.entry.as_str()))
            .fetch_all(&mut **self)
            .await?;
        let state = |(registry, entry, version, present, run, topic, partition, offset): StateRow| {
            let position = sql::position_of((run, topic, partition, offset));
            ((registry, entry), State { version, present, position })
        };
        let found: HashMap<(String, String), State> = rows.into_iter().map(state).collect();
        Ok(changes.iter().map(|c| found.get(&key(c)).cloned().unwrap_or_default()).collect())
    }

    async fn write_run(&mut self, group: &str, change: &RunChange) -> Result<bool, sqlx::Error> {
        super::workflows::postgres(self, group, change).await
    }

    async fn write_notice(&mut self, group: &str, notice: &NewNotice) -> Result<bool, sqlx::Error> {
        super::notices::postgres(self, group, notice).await
    }

    async fn write(&mut self, changes: &[&EntryChange], by: &InboxKey) -> Result<Vec<i64>, sqlx::Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, String, i64)> = sqlx::query_as(WRITE)
            .bind(column(changes, |c| c.registry.as_str()))
            .bind(column(changes, |c| c.entry.as_str()))
            .bind(column(changes, |c| c.data.as_ref().map(ToString::to_string)))
            .bind(column(changes, |c| c.utids.as_deref()))
            .bind(&by.handler)
            .bind(&by.source)
            .bind(&by.id)
            .bind(column(changes, |c| c.position.as_ref().map(|position| position.run.as_str())))
            .bind(column(changes, |c| c.position.as_ref().map(|position| position.topic.as_str())))
            .bind(column(changes, |c| c.position.as_ref().map(|position| position.partition)))
            .bind(column(changes, |c| c.position.as_ref().map(|position| position.offset)))
            .bind(column(changes, |c| c.principal.as_deref()))
            .bind(column(changes, |c| c.data.as_ref().map(super::registries::postgres::joined)))
            .fetch_all(&mut **self)
            .await?;
        let written: HashMap<(String, String), i64> = rows.into_iter().map(|(r, e, v)| ((r, e), v)).collect();
        changes.iter().map(|c| written.get(&key(c)).copied().ok_or(sqlx::Error::RowNotFound)).collect()
    }
}

fn column<'a, T>(changes: &[&'a EntryChange], value: impl Fn(&'a EntryChange) -> T) -> Vec<T> {
    changes.iter().map(|change| value(change)).collect()
}

fn key(change: &EntryChange) -> (String, String) {
    (change.registry.clone(), change.entry.clone())
}
