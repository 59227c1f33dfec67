//! The store's contract, over SQLite and Postgres.

pub(crate) mod databases;
mod killed;
mod proxy;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coafi::store::{
    self, Committed, Entry, EntryChange, EntryStanding, Fence, InboxKey, Position, Store, StoreError, UnitOfWork,
};
use serde_json::{Value, json};

use databases::{Postgres, on_every_address, on_every_store};
use proxy::Proxy;

const GROUP: &str = "group";

async fn fence(store: &dyn Store) -> Fence {
    store.claim(GROUP, &[("coafi.git".into(), 0, 0)]).await.unwrap().remove(0)
}

fn inbox(id: &str) -> InboxKey {
    let (group, handler, source) = (GROUP.into(), "git_commit".into(), "/repo".into());
    InboxKey { group, handler, source, id: id.into(), run: String::new() }
}

fn put(entry: &str, data: Value) -> EntryChange {
    let (registry, entry, data) = ("r".into(), entry.into(), Some(data));
    EntryChange {
        registry,
        entry,
        data,
        utids: None,
        principal: None,
        expected_version: None,
        follows: None,
        position: None,
    }
}

fn delete(entry: &str) -> EntryChange {
    EntryChange { data: None, ..put(entry, Value::Null) }
}

fn work(fence: &Fence, id: &str, changes: Vec<EntryChange>) -> UnitOfWork {
    UnitOfWork {
        inbox: inbox(id),
        fence: fence.clone(),
        changes,
        run: None,
        notices: Vec::new(),
        result: Bytes::from(format!("result of {id}")),
    }
}

async fn names(store: &dyn Store, after: Option<&str>, limit: u32) -> Vec<String> {
    store.entries("r", after, limit).await.unwrap().into_iter().map(|entry| entry.entry).collect()
}

#[tokio::test]
async fn a_unit_of_work_is_written_once_and_its_result_given_back() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        assert_eq!(store.inbox(&inbox("1")).await, Ok(None));
        let first = store.commit(work(&fence, "1", vec![put("a", json!({"n": 1})), put("b", json!([]))])).await;
        assert_eq!(first, Ok(Committed::Written(vec![1, 1])));
        let again = UnitOfWork { result: Bytes::from_static(b"other"), ..work(&fence, "1", vec![put("a", json!(2))]) };
        assert_eq!(store.commit(again).await, Ok(Committed::Already("result of 1".into())));
        assert_eq!(store.inbox(&inbox("1")).await, Ok(Some("result of 1".into())));
        let entry = Entry {
            registry: "r".into(),
            entry: "a".into(),
            version: 1,
            data: json!({"n": 1}),
            utids: None,
            updated_by: "git_commit".into(),
        };
        assert_eq!(store.entry("r", "a").await, Ok(Some(entry)));
        let replay = UnitOfWork { inbox: InboxKey { run: "2".into(), ..inbox("1") }, ..work(&fence, "1", vec![]) };
        assert_eq!(store.commit(replay).await, Ok(Committed::Written(vec![])));
        let other = InboxKey { group: "other".into(), ..inbox("1") };
        assert_eq!(store.inbox(&other).await, Ok(None));
        let other_group = UnitOfWork { inbox: other, ..work(&fence, "1", vec![]) };
        assert_eq!(store.commit(other_group).await, Ok(Committed::Written(vec![])));
    })
    .await;
}

/// A handler may be cancelled wherever it waits. What its connection is used for afterwards counts.
#[tokio::test]
async fn a_commit_that_is_cancelled_leaves_no_transaction_open() {
    on_every_address(|url| async move {
        let settings = store::Settings { max_connections: 1, ..Default::default() };
        let (store, other) = (store::open(&url, &settings).await.unwrap(), store::open(&url, &settings).await.unwrap());
        let mut fence = fence(&*store).await;
        for n in 0..CANCELLED {
            let unit = work(&fence, &format!("cancelled {n}"), vec![put("a", json!(n))]);
            let within = Duration::from_micros(CANCELLED_WITHIN_US * n / CANCELLED);
            if tokio::time::timeout(within, store.commit(unit)).await.is_err() {
                let claimed = self::fence(&*store).await.epoch;
                fence = self::fence(&*other).await;
                assert_eq!(fence.epoch, claimed + 1, "cancelled after {within:?}");
            }
        }
    })
    .await;
}

/// Enough that some are cancelled in `BEGIN`, and too many are none.
const CANCELLED: u64 = 900;
/// From no time at all to longer than most commits take.
const CANCELLED_WITHIN_US: u64 = 2_000;

#[tokio::test]
async fn of_concurrent_commits_of_one_event_one_writes() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let commits = (0..8).map(|_| {
            let (store, work) = (Arc::clone(&store), work(&fence, "1", vec![put("a", json!(1))]));
            tokio::spawn(async move { store.commit(work).await })
        });
        let mut written = 0;
        for commit in commits.collect::<Vec<_>>() {
            match commit.await.unwrap().unwrap() {
                Committed::Written(versions) => {
                    written += 1;
                    assert_eq!(versions, [1]);
                }
                Committed::Already(result) => assert_eq!(result, "result of 1"),
            }
        }
        assert_eq!(written, 1);
    })
    .await;
}

#[tokio::test]
async fn concurrent_commits_of_different_events_on_one_entry_all_count() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let commits = (0..8).map(|n| {
            // In opposite orders, which would deadlock if locks were not taken in one.
            let mut changes = vec![put("a", json!(n)), put("b", json!(n))];
            if n % 2 == 0 {
                changes.reverse();
            }
            let (store, work) = (Arc::clone(&store), work(&fence, &n.to_string(), changes));
            tokio::spawn(async move { store.commit(work).await })
        });
        for commit in commits.collect::<Vec<_>>() {
            commit.await.unwrap().unwrap();
        }
        assert_eq!(store.entry("r", "a").await.unwrap().unwrap().version, 8);
        assert_eq!(store.entry("r", "b").await.unwrap().unwrap().version, 8);
    })
    .await;
}

#[tokio::test]
async fn a_fence_that_is_over_writes_nothing() {
    on_every_store(|store| async move {
        let old = fence(&*store).await;
        let new = fence(&*store).await;
        assert!(new.epoch > old.epoch);
        let refused = store.commit(work(&old, "1", vec![put("a", json!(1))])).await;
        let expected =
            StoreError::Fenced { topic: "coafi.git".into(), partition: 0, held: old.epoch, current: new.epoch };
        assert_eq!(refused.unwrap_err().to_string(), expected.to_string());
        let nobody = Fence { partition: 7, ..new.clone() };
        assert!(matches!(store.commit(work(&nobody, "1", vec![])).await, Err(StoreError::Fenced { current: 0, .. })));
        assert_eq!(store.inbox(&inbox("1")).await, Ok(None));
        assert_eq!(store.entry("r", "a").await, Ok(None));
        let other_group = Fence { group: "other".into(), ..new.clone() };
        assert!(matches!(store.commit(work(&other_group, "1", vec![])).await, Err(StoreError::Fenced { .. })));
        assert_eq!(store.commit(work(&new, "1", vec![])).await, Ok(Committed::Written(vec![])));
    })
    .await;
}

#[tokio::test]
async fn a_claim_is_above_every_earlier_one_and_what_was_asked_for() {
    on_every_store(|store| async move {
        let claim = |at_least| {
            let store = Arc::clone(&store);
            async move { store.claim(GROUP, &[("t".into(), 1, at_least)]).await.unwrap()[0].epoch }
        };
        assert_eq!(claim(0).await, 1);
        assert_eq!(claim(10).await, 10);
        assert_eq!(claim(5).await, 11);
        let both = store.claim(GROUP, &[("t".into(), 2, 3), ("t".into(), 1, 0), ("t".into(), 2, 4)]).await.unwrap();
        assert_eq!(both.iter().map(|f| (f.partition, f.epoch)).collect::<Vec<_>>(), [(2, 4), (1, 12), (2, 4)]);
        assert_eq!(store.claim(GROUP, &[]).await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn racing_claims_all_differ() {
    on_every_store(|store| async move {
        let partitions: Vec<(String, i32, i64)> = (0..2_000).map(|n| ("t".to_owned(), n, 0)).collect();
        let claims = (0..4).map(|n| {
            let (store, mut partitions) = (Arc::clone(&store), partitions.clone());
            if n % 2 == 0 {
                partitions.reverse();
            }
            tokio::spawn(async move { store.claim(GROUP, &partitions).await.unwrap() })
        });
        let mut epochs = std::collections::BTreeSet::new();
        for claim in claims.collect::<Vec<_>>() {
            for fence in claim.await.unwrap() {
                assert!(epochs.insert((fence.partition, fence.epoch)), "{fence:?} was given twice");
            }
        }
        assert_eq!(epochs.len(), 4 * 2_000);
        assert_eq!(epochs.iter().map(|(_, epoch)| *epoch).max(), Some(4));
    })
    .await;
}

#[tokio::test]
async fn an_expected_version_that_is_not_there_refuses_the_whole_unit() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let expecting = |version, change| EntryChange { expected_version: Some(version), ..change };
        store.commit(work(&fence, "1", vec![expecting(0, put("a", json!(1)))])).await.unwrap();
        let changes = vec![put("b", json!(1)), expecting(0, put("a", json!(2)))];
        match store.commit(work(&fence, "2", changes)).await {
            Err(StoreError::VersionConflict { entry, expected: 0, current: 1, .. }) => assert_eq!(entry, "a"),
            other => panic!("{other:?}"),
        }
        assert_eq!(store.entry("r", "b").await, Ok(None));
        assert_eq!(store.inbox(&inbox("2")).await, Ok(None));
        let fits = store.commit(work(&fence, "2", vec![expecting(1, put("a", json!(2)))])).await;
        assert_eq!(fits, Ok(Committed::Written(vec![2])));
        // What has been deleted is not what never was.
        store.commit(work(&fence, "3", vec![delete("a")])).await.unwrap();
        assert_eq!(store.standing("r", "a").await, Ok(EntryStanding { version: 3, present: false }));
        assert_eq!(store.standing("r", "b").await, Ok(EntryStanding::default()));
        let following = |version| EntryChange { follows: Some(version), ..put("a", json!(4)) };
        for other in [0, 2] {
            let refused = store.commit(work(&fence, "4", vec![following(other)])).await;
            assert!(matches!(refused, Err(StoreError::VersionConflict { current: 3, .. })), "{refused:?}");
        }
        assert_eq!(store.commit(work(&fence, "4", vec![following(3)])).await, Ok(Committed::Written(vec![4])));
        assert_eq!(store.standing("r", "a").await, Ok(EntryStanding { version: 4, present: true }));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_entry_comes_back_with_a_higher_version() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let commit = |id: &str, changes| {
            let (store, work) = (Arc::clone(&store), work(&fence, id, changes));
            async move { store.commit(work).await.unwrap() }
        };
        assert_eq!(commit("1", vec![put("a", json!(1))]).await, Committed::Written(vec![1]));
        assert_eq!(commit("2", vec![delete("a"), delete("never")]).await, Committed::Written(vec![2, 0]));
        assert_eq!(store.entry("r", "a").await, Ok(None));
        assert_eq!(names(&*store, None, 10).await, Vec::<String>::new());
        let new = EntryChange { expected_version: Some(0), ..put("a", json!(3)) };
        assert_eq!(commit("3", vec![new]).await, Committed::Written(vec![3]));
        // One unit may change an entry more than once.
        let twice = vec![delete("a"), put("z", json!(1)), put("a", json!(5)), put("a", json!(6))];
        assert_eq!(commit("4", twice).await, Committed::Written(vec![4, 1, 5, 6]));
        assert_eq!(store.entry("r", "a").await.unwrap().unwrap().data, json!(6));
    })
    .await;
}

#[tokio::test]
async fn a_late_event_changes_nothing_that_a_newer_one_wrote() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let ids = std::sync::atomic::AtomicU32::new(0);
        let commit = |position: Position, change: EntryChange| {
            let id = ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
            let work = work(&fence, &id, vec![EntryChange { position: Some(position), ..change }]);
            let store = Arc::clone(&store);
            async move { store.commit(work).await.unwrap() }
        };
        let at = |offset| Position { run: String::new(), topic: "coafi.git".into(), partition: 0, offset };
        let stored = async || store.entry("r", "a").await.unwrap().map(|entry| (entry.version, entry.data));
        assert_eq!(commit(at(5), put("a", json!(5))).await, Committed::Written(vec![1]));
        assert_eq!(commit(at(3), put("a", json!(3))).await, Committed::Written(vec![1]));
        assert_eq!(commit(at(4), delete("a")).await, Committed::Written(vec![1]));
        assert_eq!(stored().await, Some((1, json!(5))));
        // The same event, by another handler.
        assert_eq!(commit(at(5), put("a", json!("5b"))).await, Committed::Written(vec![2]));
        assert_eq!(commit(at(7), delete("a")).await, Committed::Written(vec![3]));
        assert_eq!(commit(at(6), put("a", json!(6))).await, Committed::Written(vec![3]));
        assert_eq!(stored().await, None, "what was deleted stays so");

        // Deleted before it was ever made: the event that makes it is late.
        assert_eq!(commit(at(9), delete("never")).await, Committed::Written(vec![1]));
        assert_eq!(commit(at(8), put("never", json!(8))).await, Committed::Written(vec![1]));
        assert_eq!(store.entry("r", "never").await, Ok(None));

        // Elsewhere offsets mean something else.
        for (position, version) in [
            (Position { run: "2".into(), ..at(1) }, 4),
            (Position { topic: "coafi.other".into(), ..at(0) }, 5),
            (Position { partition: 1, ..at(0) }, 6),
        ] {
            assert_eq!(commit(position, put("a", json!(version))).await, Committed::Written(vec![version]));
            assert_eq!(stored().await, Some((version, json!(version))));
        }
    })
    .await;
}

#[tokio::test]
async fn of_racing_events_the_newest_is_kept() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let commits = (0..8).map(|offset| {
            let position = Position { run: String::new(), topic: "coafi.git".into(), partition: 0, offset };
            let change = EntryChange { position: Some(position), ..put("a", json!(offset)) };
            let (store, work) = (Arc::clone(&store), work(&fence, &offset.to_string(), vec![change]));
            // A conflict is transient: the handler would come again.
            tokio::spawn(async move {
                loop {
                    match store.commit(work.clone()).await {
                        Err(StoreError::Conflict(_)) => {}
                        ended => return ended.unwrap(),
                    }
                }
            })
        });
        for commit in commits.collect::<Vec<_>>() {
            commit.await.unwrap();
        }
        assert_eq!(store.entry("r", "a").await.unwrap().unwrap().data, json!(7));
    })
    .await;
}

#[tokio::test]
async fn entries_are_paged_in_order_of_their_bytes() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let changes = ["b", "a", "B", "é", "a b", "a-b"].map(|name| put(name, json!(name))).into();
        store.commit(work(&fence, "1", changes)).await.unwrap();
        assert_eq!(names(&*store, None, 3).await, ["B", "a", "a b"]);
        assert_eq!(names(&*store, Some("a b"), 10).await, ["a-b", "b", "é"]);
        assert_eq!(names(&*store, Some("é"), 10).await, Vec::<String>::new());
        assert_eq!(store.entries("other", None, 10).await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn data_comes_back_as_it_was_written() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let data = json!({"z": "\u{0}\u{1F600}'\"\\", "a": [1.5, -7, 18446744073709551615u64, null], "": {}});
        let change = EntryChange { utids: Some("UT-1,UT-2".into()), ..put("it's \"odd\"", data.clone()) };
        store.commit(work(&fence, "1", vec![change])).await.unwrap();
        let entry = store.entry("r", "it's \"odd\"").await.unwrap().unwrap();
        assert_eq!((entry.data, entry.utids.as_deref()), (data, Some("UT-1,UT-2")));
    })
    .await;
}

#[tokio::test]
async fn a_large_unit_of_work_is_one_transaction() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let changes: Vec<_> = (0..5_000).map(|n| put(&format!("{n:05}"), json!({ "n": n }))).collect();
        let written = store.commit(work(&fence, "1", changes.clone())).await;
        assert_eq!(written, Ok(Committed::Written(vec![1; 5_000])));
        let mut refused = changes;
        refused.push(EntryChange { expected_version: Some(9), ..put("04999", json!(0)) });
        assert!(matches!(store.commit(work(&fence, "2", refused)).await, Err(StoreError::VersionConflict { .. })));
        assert_eq!(store.entry("r", "00000").await.unwrap().unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn the_inbox_is_purged_in_batches_of_what_is_old() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        for id in ["1", "2", "3"] {
            store.commit(work(&fence, id, vec![])).await.unwrap();
        }
        assert_eq!(store.purge_inbox(Duration::from_secs(3_600), 10).await, Ok(0));
        // Ages are whole seconds in SQLite: ask until they have passed.
        let purged = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let purged = store.purge_inbox(Duration::ZERO, 2).await.unwrap();
                if purged > 0 {
                    return purged;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(purged.await.unwrap(), 2);
        assert_eq!(store.purge_inbox(Duration::ZERO, 2).await, Ok(1));
        assert_eq!(store.inbox(&inbox("1")).await, Ok(None));
    })
    .await;
}

#[tokio::test]
async fn stores_that_open_at_once_migrate_once() {
    on_every_address(|url| async move {
        let opening = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { store::open(&url, &store::Settings::default()).await })
        });
        for store in opening.collect::<Vec<_>>() {
            store.await.unwrap().unwrap().ping().await.unwrap();
        }
    })
    .await;
}

/// Somebody restored another database, say: no event is to blame, so none may be dead-lettered.
#[tokio::test]
async fn a_table_that_is_missing_is_an_outage() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let fence = fence(&*store).await;
        databases::execute(&url, "ALTER TABLE registry_history RENAME TO elsewhere").await;
        let work = work(&fence, "1", vec![put("a", json!(1))]);
        let error = store.commit(work.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        databases::execute(&url, "ALTER TABLE elsewhere RENAME TO registry_history").await;
        assert_eq!(store.commit(work).await, Ok(Committed::Written(vec![1])));
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_none_says_what_is_allowed_and_no_password() {
    for url in ["", "mysql://u:hunter2@h/d", "nonsense", "postgres://u:hunter2@h:port/d"] {
        let error = store::open(url, &store::Settings::default()).await.unwrap_err().to_string();
        assert!(error.contains("allowed: ") && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_an_outage() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("sqlite:{}/store.db", file.path().display());
    let error = store::open(&url, &store::Settings::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

/// As it does where the disk is full, which a trigger stands for here.
#[tokio::test]
async fn a_transaction_that_sqlite_ends_by_itself_leaves_a_database_that_goes_on() {
    const TRIGGER: &str = "CREATE TRIGGER full BEFORE INSERT ON registry_history \
         BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END";
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/store.db", directory.path().display());
    let store = store::open(&url, &store::Settings::default()).await.unwrap();
    let fence = fence(&*store).await;
    let work = work(&fence, "1", vec![put("a", json!(1))]);
    databases::execute(&url, TRIGGER).await;
    let error = store.commit(work.clone()).await.unwrap_err();
    assert!(error.to_string().contains("disk is full"), "{error:?}");
    databases::execute(&url, "DROP TRIGGER full").await;
    assert_eq!(store.commit(work).await, Ok(Committed::Written(vec![1])));
}

#[tokio::test]
async fn a_database_that_is_gone_is_an_outage_and_comes_back() {
    let database = Postgres::create().await;
    let proxy = Proxy::start(&database.host, database.port).await;
    let url = format!("postgres://coafi:hunter2@127.0.0.1:{}/{}", proxy.port(), database.name);
    let settings = store::Settings { acquire_timeout: Duration::from_millis(500), ..store::Settings::default() };
    let store = store::open(&url, &settings).await.unwrap();
    let fence = fence(&*store).await;

    proxy.cut().await;
    for error in [
        store.ping().await.unwrap_err(),
        store.commit(work(&fence, "1", vec![put("a", json!(1))])).await.unwrap_err(),
        store.claim(GROUP, &[("t".into(), 0, 0)]).await.unwrap_err(),
        store.inbox(&inbox("1")).await.unwrap_err(),
        store::open(&url, &settings).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    proxy.restore().await;
    let back = tokio::time::timeout(Duration::from_secs(20), async {
        while store.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    back.await.expect("the pool reconnects");
    let written = store.commit(work(&fence, "1", vec![put("a", json!(1))])).await;
    assert_eq!(written, Ok(Committed::Written(vec![1])));
    drop(store);
    database.drop().await;
}
