//! The servers that a world talks to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};

/// Addresses, as a configuration names them.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) kafka: String,
    pub(crate) registry: String,
    pub(crate) postgres: String,
    /// How many brokers have each topic.
    pub(crate) replication: usize,
}

impl Stack {
    /// The one that all tests share; those that take something away start that for themselves.
    pub(crate) fn shared() -> Self {
        Self { kafka: named("KAFKA"), registry: named("REGISTRY"), postgres: named("POSTGRES"), replication: 1 }
    }

    /// One that nobody serves: of commands that need none.
    pub(crate) fn nowhere() -> Self {
        let refused = "127.0.0.1:1";
        Self {
            kafka: refused.into(),
            registry: format!("http://{refused}"),
            postgres: format!("postgres://c@{refused}/c"),
            replication: 1,
        }
    }
}

fn named(server: &str) -> String {
    let variable = format!("COAFI_TEST_{server}");
    std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} names no server; `make test` starts one"))
}

/// A name that no other test and no other run has; letters, digits and `_`.
pub(crate) fn unique(name: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}_{}_{nanos:x}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A database that is dropped with its handle.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) fn create(server: &str, name: &str) -> Self {
        let database = Self { server: server.to_owned(), name: name.to_owned() };
        database.at_server(format!("CREATE DATABASE {name}")).unwrap();
        database
    }

    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }

    /// What is in it now, under a name of its own; nobody may be connected.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { server: self.server.clone(), name: unique("copy") };
        copy.at_server(format!("CREATE DATABASE {} TEMPLATE {}", copy.name, self.name)).unwrap();
        copy
    }

    /// It is what `copy` is.
    pub(crate) fn put_back(&self, copy: &Self) {
        self.at_server(format!("DROP DATABASE {} WITH (FORCE)", self.name)).unwrap();
        self.at_server(format!("CREATE DATABASE {} TEMPLATE {}", self.name, copy.name)).unwrap();
    }

    /// The number that a query asks for.
    pub(crate) fn number(&self, query: &str) -> i64 {
        let options: PgConnectOptions = self.url().parse().unwrap();
        block_on(async {
            let mut connection = options.connect().await.unwrap();
            sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap()
        })
    }

    fn at_server(&self, statement: String) -> Result<(), sqlx::Error> {
        let options: PgConnectOptions = self.server.parse()?;
        block_on(async {
            let mut connection = options.connect().await?;
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.map(drop)
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its server may be gone by now, and the database with it.
        let _ = self.at_server(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
