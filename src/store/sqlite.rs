//! The store in an SQLite file, for `coafi dev` and single machines.
//!
//! One connection writes and several read (write-ahead log). `synchronous = NORMAL`: a crash of the process loses nothing, a
//! power cut may lose the last commits but not the file, which is what an embedded store is for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::commit::{self, Refusal, State, Transaction};
use super::error::Errors;
use super::open::{Settings, migration_error, newest, too_old};
use super::registries::sqlite as registries;
use super::{
    Committed, Entry, EntryChange, EntryStanding, Fence, InboxKey, NewNotice, RunChange, Store, StoreError, UnitOfWork,
    sql,
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a commit queues for the one writer. Longer than for a server's connections: here the wait is for our own
/// other commits, which end.
const WRITER_TIMEOUT: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(1);

const OWNER: &str = "SELECT epoch FROM partition_owner WHERE consumer_group = $1 AND topic = $2 AND partition_id = $3";

/// One statement for any number of partitions. `WHERE true`: SQLite needs it to tell the upsert from a join.
const CLAIM: &str = "INSERT INTO partition_owner (consumer_group, topic, partition_id, epoch) \
     SELECT $1, value ->> 0, value ->> 1, max(1, value ->> 2) FROM json_each($2) WHERE true \
     ON CONFLICT (consumer_group, topic, partition_id) DO UPDATE \
     SET epoch = max(partition_owner.epoch + 1, excluded.epoch), claimed_at = unixepoch() \
     RETURNING topic, partition_id, epoch";

const STATE: &str = "SELECT version, data IS NOT NULL, source_run, source_topic, source_partition, source_offset \
     FROM registry_entry WHERE registry = $1 AND entry = $2";

const WRITE: &str = "INSERT INTO registry_entry (registry, entry, version, data, utids, updated_by, \
       source_run, source_topic, source_partition, source_offset, principal, words_version) \
     VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, 1) \
     ON CONFLICT (registry, entry) DO UPDATE SET version = version + 1, data = excluded.data, \
       utids = excluded.utids, updated_by = excluded.updated_by, updated_at = unixepoch(), \
       source_run = excluded.source_run, source_topic = excluded.source_topic, \
       source_partition = excluded.source_partition, source_offset = excluded.source_offset, \
       principal = excluded.principal, words_version = version + 1 \
     RETURNING version";

const HISTORY: &str = "INSERT INTO registry_history \
     (registry, entry, version, data, utids, updated_by, source, event_id, principal) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const PURGE_INBOX: &str = "DELETE FROM inbox WHERE rowid IN ( \
     SELECT rowid FROM inbox WHERE created_at < unixepoch() - $1 ORDER BY created_at LIMIT $2)";

/// A row of [`STATE`].
type StateRow = (i64, bool, Option<String>, Option<String>, Option<i32>, Option<i64>);

#[derive(Debug)]
pub(super) struct Sqlite {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) errors: Errors,
}

impl Sqlite {
    pub(super) async fn open(url: &str, settings: &Settings, errors: Errors) -> Result<Self, StoreError> {
        let options: SqliteConnectOptions = url.parse().map_err(|_| errors.address("sqlite:PATH"))?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(settings.lock_timeout);
        let file = options.get_filename().to_owned();
        let lock = migration_lock(&file).await.map_err(|e| errors.unavailable(e))?;
        let pool = |connections, timeout| {
            let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(timeout);
            pool.before_acquire(|connection, _| Box::pin(is_usable(connection))).connect_with(options.clone())
        };
        let writer = pool(1, WRITER_TIMEOUT).await.map_err(|e| errors.map(&e))?;
        let mut migrations = Migrator { ..Migrator::DEFAULT };
        migrations.migrations = MIGRATIONS.migrations.clone();
        migrations.set_ignore_missing(true);
        migrations.run(&writer).await.map_err(|e| migration_error(&errors, e))?;
        let needs: Option<i64> = sqlx::query_scalar(sql::NEEDS).fetch_one(&writer).await.map_err(|e| errors.map(&e))?;
        too_old(&errors, needs, newest(&MIGRATIONS))?;
        drop(lock);
        let readers = pool(settings.max_connections, settings.acquire_timeout).await.map_err(|e| errors.map(&e))?;
        Ok(Self { writer, readers, errors })
    }

    async fn try_commit(&self, work: &UnitOfWork) -> Result<Committed, Refusal> {
        // IMMEDIATE takes the write lock at once: what the checks read cannot change before the writes.
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let committed = commit::run(&mut transaction, work).await?;
        match committed {
            Committed::Written(_) => transaction.commit().await?,
            Committed::Already(_) => transaction.rollback().await?,
        }
        Ok(committed)
    }
}

/// A transaction that SQLite itself rolls back (a full disk, for one) cannot be rolled back by the driver, which then takes it
/// to be open for ever and begins no other. Such a connection is replaced.
async fn is_usable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback may still be queued; its connection does one thing after the other.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// SQLite has no advisory locks, and two processes that migrate a new file at once would collide: a lock on a file beside
/// it. (Not on the file itself: closing it would drop SQLite's own POSIX locks.) Freed when the file is closed.
async fn migration_lock(database: &Path) -> std::io::Result<std::fs::File> {
    let mut lock = database.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let locking = tokio::task::spawn_blocking(move || {
        if let Some(directory) = lock.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = std::fs::File::create(lock)?;
        file.lock()?;
        Ok(file)
    });
    locking.await.map_err(std::io::Error::other)?
}

#[async_trait]
impl Store for Sqlite {
    async fn ping(&self) -> Result<(), StoreError> {
        let answer = tokio::time::timeout(PING_TIMEOUT, sqlx::query("SELECT 1").execute(&self.readers)).await;
        answer.map_err(|_| self.errors.unavailable("no answer within a second"))?.map_err(|e| self.errors.map(&e))?;
        Ok(())
    }

    async fn claim(&self, group: &str, partitions: &[(String, i32, i64)]) -> Result<Vec<Fence>, StoreError> {
        let wanted: Vec<(&str, i32, i64)> =
            super::claim::distinct(partitions).into_iter().map(|((topic, p), epoch)| (topic, p, epoch)).collect();
        let wanted = serde_json::to_string(&wanted).map_err(|e| StoreError::Other(e.to_string()))?;
        let rows: Vec<(String, i32, i64)> = sqlx::query_as(CLAIM)
            .bind(group)
            .bind(wanted)
            .fetch_all(&self.writer)
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
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map(Bytes::from))
    }

    async fn commit(&self, work: UnitOfWork) -> Result<Committed, StoreError> {
        self.try_commit(&work).await.map_err(|refusal| match refusal {
            Refusal::Contract(error) => error,
            Refusal::Database(error) => self.errors.map(&error),
        })
    }

    async fn entry(&self, registry: &str, entry: &str) -> Result<Option<Entry>, StoreError> {
        let row: Option<sql::EntryRow> = sqlx::query_as(sql::ENTRY)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        row.map(sql::entry_of).transpose().map_err(|e| self.errors.map(&e))
    }

    async fn standing(&self, registry: &str, entry: &str) -> Result<EntryStanding, StoreError> {
        let row: Option<(i64, bool)> = sqlx::query_as(sql::STANDING)
            .bind(registry)
            .bind(entry)
            .fetch_optional(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(row.map_or_else(EntryStanding::default, |(version, present)| EntryStanding { version, present }))
    }

    async fn entries(&self, registry: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<sql::EntryRow> = sqlx::query_as(sql::ENTRIES)
            .bind(registry)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(|e| self.errors.map(&e))?;
        rows.into_iter().map(sql::entry_of).collect::<Result<_, _>>().map_err(|e| self.errors.map(&e))
    }

    async fn purge_inbox(&self, older_than: Duration, limit: u32) -> Result<u64, StoreError> {
        let deleted = sqlx::query(PURGE_INBOX)
            .bind(i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .execute(&self.writer)
            .await
            .map_err(|e| self.errors.map(&e))?;
        Ok(deleted.rows_affected())
    }
}

#[async_trait]
impl Transaction for sqlx::Transaction<'static, sqlx::Sqlite> {
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
        let mut states = Vec::with_capacity(changes.len());
        for change in changes {
            let select = sqlx::query_as(STATE).bind(&change.registry).bind(&change.entry);
            let row: Option<StateRow> = select.fetch_optional(&mut **self).await?;
            let state = |(version, present, run, topic, partition, offset): StateRow| State {
                version,
                present,
                position: sql::position_of((run, topic, partition, offset)),
            };
            states.push(row.map(state).unwrap_or_default());
        }
        Ok(states)
    }

    async fn write_run(&mut self, group: &str, change: &RunChange) -> Result<bool, sqlx::Error> {
        super::workflows::sqlite(self, group, change).await
    }

    async fn write_notice(&mut self, group: &str, notice: &NewNotice) -> Result<bool, sqlx::Error> {
        super::notices::sqlite(self, group, notice).await
    }

    async fn write(&mut self, changes: &[&EntryChange], by: &InboxKey) -> Result<Vec<i64>, sqlx::Error> {
        let mut versions = Vec::with_capacity(changes.len());
        for change in changes {
            let data = change.data.as_ref().map(ToString::to_string);
            let write = sqlx::query_scalar(WRITE).bind(&change.registry).bind(&change.entry).bind(&data);
            let write = write.bind(&change.utids).bind(&by.handler);
            let position = change.position.as_ref();
            let write = write.bind(position.map(|p| &p.run)).bind(position.map(|p| &p.topic));
            let write = write.bind(position.map(|p| p.partition)).bind(position.map(|p| p.offset));
            let write = write.bind(&change.principal);
            let version: i64 = write.fetch_one(&mut **self).await?;
            let history = sqlx::query(HISTORY).bind(&change.registry).bind(&change.entry).bind(version).bind(data);
            let history = history.bind(&change.utids).bind(&by.handler).bind(&by.source).bind(&by.id);
            history.bind(&change.principal).execute(&mut **self).await?;
            registries::index(self, &change.registry, &change.entry, change.data.as_ref()).await?;
            versions.push(version);
        }
        Ok(versions)
    }
}
