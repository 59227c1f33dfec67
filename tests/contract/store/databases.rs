//! A fresh database of each kind for each test.

use std::sync::Arc;

use coafi::store::{self, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};

/// Names the server that tests may create databases in, e.g. `postgres://coafi@127.0.0.1:5432/coafi`.
const SERVER: &str = "COAFI_TEST_POSTGRES";

/// A database of its own in the test server.
pub(crate) struct Postgres {
    server: PgConnectOptions,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: String,
}

impl Postgres {
    pub(crate) async fn create() -> Self {
        let url = std::env::var(SERVER).unwrap_or_else(|_| panic!("{SERVER} names no server; `make test` starts one"));
        let server: PgConnectOptions = url.parse().unwrap();
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let (host, port) = (server.get_host().to_owned(), server.get_port());
        let database = Self { server, host, port, name };
        database.run(format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    pub(crate) fn url(&self) -> String {
        let Self { server, host, port, name } = self;
        format!("postgres://{}@{host}:{port}/{name}", server.get_username())
    }

    pub(crate) async fn drop(&self) {
        self.run(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    async fn run(&self, statement: String) {
        let mut connection = self.server.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

/// Runs `test` with the address of an empty SQLite file, then with that of an empty Postgres database.
pub(crate) async fn on_every_address<F: Future<Output = ()> + Send + 'static>(test: impl Fn(String) -> F) {
    let directory = tempfile::tempdir().unwrap();
    test(format!("sqlite:{}/new/store.db", directory.path().display())).await;
    let database = Postgres::create().await;
    let ended = tokio::spawn(test(database.url())).await;
    database.drop().await;
    ended.unwrap();
}

pub(crate) async fn on_every_store<F: Future<Output = ()> + Send + 'static>(
    test: impl Fn(Arc<dyn Store>) -> F + Clone + Send + Sync + 'static,
) {
    on_every_address(move |url| {
        let test = test.clone();
        async move { test(store::open(&url, &store::Settings::default()).await.unwrap()).await }
    })
    .await;
}

/// What an operator does to the database at that address.
pub(crate) async fn execute(url: &str, statement: &'static str) {
    if url.starts_with("sqlite:") {
        let mut connection = url.parse::<SqliteConnectOptions>().unwrap().connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
}
