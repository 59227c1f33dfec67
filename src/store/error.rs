//! Which database errors mean what. Messages never hold a password: they name the redacted address.

use std::sync::Arc;

use super::StoreError;

/// Maps the driver's errors; knows the database's address for messages.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    address: Arc<str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Unavailable,
    Conflict,
    Other,
}

impl Errors {
    pub(super) fn new(url: &str) -> Self {
        Self { address: redact(url).into() }
    }

    pub(super) fn map(&self, error: &sqlx::Error) -> StoreError {
        match meaning(error) {
            Meaning::Unavailable => self.unavailable(error),
            Meaning::Conflict => StoreError::Conflict(error.to_string()),
            Meaning::Other => StoreError::Other(format!("{}: {error}", self.address)),
        }
    }

    pub(super) fn unavailable(&self, message: impl std::fmt::Display) -> StoreError {
        StoreError::Unavailable { url: self.address.to_string(), message: message.to_string() }
    }

    /// A newer program has changed the database in a way that this one cannot work with.
    pub(super) fn too_new(&self, why: impl std::fmt::Display) -> StoreError {
        let message =
            format!("{} is the database of a newer coafi ({why}): use that version of the program", self.address);
        StoreError::Other(message)
    }

    /// A file that the address names and that cannot be read.
    pub(super) fn file(&self, name: &str, file: &str, error: &std::io::Error) -> StoreError {
        StoreError::Other(format!("database {}: {name}={file} cannot be read: {error}", self.address))
    }

    /// An invalid address. The driver's message is left out: it may quote the address with its password.
    pub(super) fn address(&self, allowed: &str) -> StoreError {
        StoreError::Other(format!("{:?} is not a database address; allowed: {allowed}", self.address))
    }
}

fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                postgres(&code)
            } else {
                code.parse().map_or(Meaning::Other, sqlite)
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // The connection is not where the driver takes it to be. No event is to blame.
        | sqlx::Error::BeginFailed
        | sqlx::Error::InvalidSavePointStatement => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// By SQLSTATE (Postgres manual, appendix A).
fn postgres(code: &str) -> Meaning {
    match code {
        // serialization_failure, deadlock_detected, lock_not_available, unique_violation
        "40001" | "40P01" | "55P03" | "23505" => Meaning::Conflict,
        // A standby after a failover; the statement's time is over; the session sat in a transaction for too long.
        // statement_completion_unknown: whether it is written is asked again, of the inbox.
        "25006" | "57014" | "25P03" | "25P04" | "40003" => Meaning::Unavailable,
        _ => match code.get(..2) {
            // connection, authorisation (a changed password), no such database, out of resources, operator's
            // intervention (shutdown, starting up), system error, internal error (corrupt data or index)
            Some("08" | "28" | "3D" | "53" | "57" | "58" | "XX") => Meaning::Unavailable,
            // No such table or column, no right to it: the database is not the one that we migrated. No event is to
            // blame, so none may be dead-lettered for it.
            Some("42") => Meaning::Unavailable,
            _ => Meaning::Other,
        },
    }
}

/// By SQLite's result code; the low byte is the primary code (sqlite.org/rescode.html).
fn sqlite(code: i32) -> Meaning {
    match (code, code & 0xff) {
        // SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
        (2067 | 1555, _) => Meaning::Conflict,
        // BUSY, LOCKED
        (_, 5 | 6) => Meaning::Conflict,
        // INTERNAL, PERM, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, SCHEMA, AUTH, NOTADB
        (_, 2 | 3 | 7 | 8 | 9 | 10 | 11 | 13 | 14 | 15 | 17 | 23 | 26) => Meaning::Unavailable,
        // ERROR, which is what a missing table or column is: as in Postgres, no event is to blame.
        (_, 1) => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// The address without password: neither in `user:password@` nor in `?password=`.
fn redact(url: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, ""), |(base, query)| (base, query));
    let mut redacted = match base.split_once("://") {
        Some((scheme, rest)) => {
            // The last one: a password may hold an unescaped '@'.
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => base.to_owned(),
    };
    let kept: Vec<&str> =
        query.split('&').filter(|p| !p.is_empty() && !p.to_lowercase().contains("password")).collect();
    if !kept.is_empty() {
        redacted.push('?');
        redacted.push_str(&kept.join("&"));
    }
    redacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_appear() {
        for (url, expected) in [
            ("postgres://u:p@h:5432/db", "postgres://h:5432/db"),
            ("postgres://u:p@ss@h/db?password=x&sslmode=require", "postgres://h/db?sslmode=require"),
            ("postgres://h/db?sslpassword=x", "postgres://h/db"),
            ("sqlite:.coafi/store.db", "sqlite:.coafi/store.db"),
            ("", ""),
        ] {
            assert_eq!(redact(url), expected);
        }
    }

    #[test]
    fn postgres_codes_have_their_meaning() {
        for code in [
            "08006", "57P01", "57P03", "53300", "53100", "28P01", "3D000", "57014", "25006", "42P01", "40003", "XX000",
            "XX002",
        ] {
            assert_eq!(postgres(code), Meaning::Unavailable, "{code}");
        }
        for code in ["40001", "40P01", "55P03", "23505"] {
            assert_eq!(postgres(code), Meaning::Conflict, "{code}");
        }
        for code in ["22021", "22P05", "23502", "22003", "", "4", "é"] {
            assert_eq!(postgres(code), Meaning::Other, "{code}");
        }
    }

    #[test]
    fn sqlite_codes_have_their_meaning() {
        for code in [5, 6, 261, 517, 2067, 1555] {
            assert_eq!(sqlite(code), Meaning::Conflict, "{code}");
        }
        for code in [1, 13, 14, 10, 266, 8, 26] {
            assert_eq!(sqlite(code), Meaning::Unavailable, "{code}");
        }
        for code in [19, 787, 20] {
            assert_eq!(sqlite(code), Meaning::Other, "{code}");
        }
    }

    #[test]
    fn connection_errors_are_outages() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(meaning(&sqlx::Error::Io(io)), Meaning::Unavailable);
        assert_eq!(meaning(&sqlx::Error::PoolTimedOut), Meaning::Unavailable);
        assert_eq!(meaning(&sqlx::Error::InvalidSavePointStatement), Meaning::Unavailable);
        assert_eq!(meaning(&sqlx::Error::RowNotFound), Meaning::Other);
    }
}
