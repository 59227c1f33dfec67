//! A database that an older version made: migrated forward with its rows, and what the version before it had, it still
//! means. The migrations of each version are kept in tests/golden/formats.

use std::path::{Path, PathBuf};

use coafi::store::{Committed, EntryChange, EntryFilter, Fence, InboxKey, Position, Settings, UnitOfWork, open};
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use crate::store::databases::on_every_address;

/// As version 0.1.0 wrote them, in SQL that both databases take but for `BYTES`.
const ROWS: &str = r#"
    INSERT INTO partition_owner (consumer_group, topic, partition_id, epoch) VALUES ('coafi', 'coafi.git', 3, 41);
    INSERT INTO inbox (consumer_group, handler, source, event_id, run, result)
        VALUES ('coafi', 'git_ref', '/git/repo', 'e-1', '/', CAST('{"message":"done"}' AS BYTES));
    INSERT INTO registry_entry (registry, entry, version, data, utids, updated_by,
                                source_run, source_topic, source_partition, source_offset)
        VALUES ('refs', 'repo main', 2, '{"commitSha":"b"}', 'UT-1', 'e-1', '', 'coafi.git', 3, 20);
    INSERT INTO registry_history (registry, entry, version, data, utids, updated_by, source, event_id)
        VALUES ('refs', 'repo main', 2, '{"commitSha":"b"}', 'UT-1', 'e-1', '/git/repo', 'e-1');
"#;

#[tokio::test]
async fn a_database_of_every_version_is_migrated_with_its_rows() {
    for version in versions() {
        on_every_address(move |url| {
            let version = version.clone();
            async move {
                make_as(&version, &url).await;
                check(&url).await;
            }
        })
        .await;
    }
}

fn words(text: &str) -> EntryFilter {
    EntryFilter { words: coafi::registry::words::asked(text), ..EntryFilter::default() }
}

fn versions() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // What is not released yet has no directory of its own here.
    let versions: Vec<PathBuf> = entries.filter(|path| path.join("REVISION").exists()).collect();
    assert!(!versions.is_empty());
    versions
}

async fn make_as(version: &Path, url: &str) {
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        std::fs::create_dir_all(options.get_filename().parent().unwrap()).unwrap();
        let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
        Migrator::new(version.join("migrations/sqlite")).await.unwrap().run(&pool).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(ROWS.replace("BYTES", "BLOB"))).execute(&pool).await.unwrap();
        pool.close().await;
    } else {
        let pool = PgPool::connect(url).await.unwrap();
        Migrator::new(version.join("migrations/postgres")).await.unwrap().run(&pool).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(ROWS.replace("BYTES", "BYTEA"))).execute(&pool).await.unwrap();
        pool.close().await;
    }
}

async fn check(url: &str) {
    let store = open(url, &Settings::default()).await.unwrap();
    let inbox = |id: &str| InboxKey {
        group: "coafi".into(),
        handler: "git_ref".into(),
        source: "/git/repo".into(),
        id: id.into(),
        run: "/".into(),
    };
    assert_eq!(store.inbox(&inbox("e-1")).await.unwrap().as_deref(), Some(&br#"{"message":"done"}"#[..]));
    let found = store.find_entries("refs", &words("b"), None, 10).await.unwrap();
    assert!(found.entries.is_empty(), "that version knew no words");
    assert_eq!(store.index_entries(100).await, Ok(1));
    assert_eq!(store.find_entries("refs", &words("b"), None, 10).await.unwrap().entries.len(), 1);
    let history = store.entry_history("refs", "repo main", None, 10).await.unwrap();
    assert_eq!((history.len(), history[0].version, history[0].principal.as_deref()), (1, 2, None));
    let entry = store.entry("refs", "repo main").await.unwrap().unwrap();
    assert_eq!((entry.version, &entry.data, entry.utids.as_deref()), (2, &json!({"commitSha": "b"}), Some("UT-1")));

    let fences = store.claim("coafi", &[("coafi.git".into(), 3, 0)]).await.unwrap();
    let fence = Fence { group: "coafi".into(), topic: "coafi.git".into(), partition: 3, epoch: 42 };
    assert_eq!(fences, std::slice::from_ref(&fence), "epochs go on");
    for (id, offset, expected) in [("e-0", 19, 2), ("e-2", 21, 3)] {
        let change = EntryChange {
            registry: "refs".into(),
            entry: "repo main".into(),
            data: Some(json!({"commitSha": id})),
            utids: None,
            principal: None,
            expected_version: None,
            follows: None,
            position: Some(Position { run: String::new(), topic: "coafi.git".into(), partition: 3, offset }),
        };
        let work = UnitOfWork {
            inbox: inbox(id),
            fence: fence.clone(),
            changes: vec![change],
            run: None,
            notices: Vec::new(),
            result: b"{}"[..].into(),
        };
        assert_eq!(
            store.commit(work).await.unwrap(),
            Committed::Written(vec![expected]),
            "{id}: in the order of events"
        );
    }
}
