//! From an address to a store.

use std::sync::Arc;
use std::time::Duration;

use super::error::Errors;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::{Requests, StoreError};

/// Bounds of a store's connections. The defaults suit one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections kept at most (SQLite: readers; it has one writer).
    pub max_connections: u32,
    /// How long a call waits for a connection before the database counts as unavailable.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// How long a statement waits for a row that another transaction holds, and a session may sit in an open transaction: a
    /// frozen process must not keep others from claiming its partitions.
    pub lock_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
        }
    }
}

/// Connects and migrates. Several processes may do so at once.
///
/// `url`: `postgres://user:password@host:port/database` (and what else libpq's URIs allow) or `sqlite:path`, which is
/// created if missing; its directory too.
///
/// # Errors
/// [`StoreError::Unavailable`] if the database does not answer (try again), [`StoreError::Other`] for an address that is
/// none and for migrations that do not fit.
pub async fn open(url: &str, settings: &Settings) -> Result<Arc<dyn Requests>, StoreError> {
    let errors = Errors::new(url);
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Ok(Arc::new(Postgres::open(url, settings, errors).await?)),
        Some("sqlite") => Ok(Arc::new(Sqlite::open(url, settings, errors).await?)),
        _ => Err(errors.address("postgres://… or sqlite:PATH")),
    }
}

/// An error while migrating, by its cause.
pub(super) fn migration_error(errors: &Errors, error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => errors.map(&cause),
        other => StoreError::Other(format!("migrations: {other}")),
    }
}

/// The number of the last migration that this program knows.
pub(super) fn newest(migrations: &sqlx::migrate::Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Migrations only add, so a program may work beside newer ones on one database (a rolling upgrade), unless that says that
/// it needs more than this program knows.
pub(super) fn too_old(errors: &Errors, needs: Option<i64>, knows: i64) -> Result<(), StoreError> {
    match needs {
        Some(needs) if needs > knows => {
            Err(errors.too_new(format!("migration {needs} is needed, this program knows {knows}")))
        }
        _ => Ok(()),
    }
}
