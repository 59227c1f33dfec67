//! What channels were told and what waits to be told together, over SQLite and Postgres.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coafi::store::{
    Committed, DueNotices, Fence, InboxKey, NewNotice, NoticeGroup, Said, Store, StoreError, UnitOfWork,
};

use crate::store::databases::on_every_store;

const GROUP: &str = "group";
const MINUTE: Duration = Duration::from_secs(60);
/// A message of the test waits for so long, and then for whoever asks.
const WAIT: Duration = Duration::from_secs(2);

async fn fence(store: &dyn Store) -> Fence {
    store.claim(GROUP, &[("coafi.notifications".into(), 0, 0)]).await.unwrap().remove(0)
}

fn work(fence: &Fence, event: &str, notices: Vec<NewNotice>) -> UnitOfWork {
    let inbox = InboxKey {
        group: GROUP.into(),
        handler: "notification".into(),
        source: "/s".into(),
        id: event.into(),
        run: String::new(),
    };
    let (fence, result) = (fence.clone(), Bytes::from_static(b"{}"));
    UnitOfWork { inbox, fence, changes: Vec::new(), run: None, notices, result }
}

fn said(key: &str, resolved: bool) -> Said {
    Said { key: key.into(), resolved }
}

fn saying(key: &str, resolved: bool, window: Duration) -> Vec<NewNotice> {
    vec![NewNotice { channel: "chat".into(), said: Some((said(key, resolved), window)), group: None }]
}

fn waiting(n: u32, wait: Duration) -> Vec<NewNotice> {
    let group = NoticeGroup {
        key: "g".into(),
        delivery_id: format!("d-{n}"),
        correlation_id: "c".into(),
        wait,
        members_max: 3,
        notification: n.to_string(),
    };
    vec![NewNotice { channel: "chat".into(), said: None, group: Some(group) }]
}

#[tokio::test]
async fn what_was_said_is_said_again_when_its_window_is_over_or_it_is() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        let was_said = async |resolved| store.was_said(GROUP, "chat", &said("db", resolved)).await.unwrap();
        assert!(!was_said(false).await);
        store.commit(work(&fence, "1", saying("db", false, MINUTE))).await.unwrap();
        assert_eq!((was_said(false).await, was_said(true).await), (true, false));
        assert!(!store.was_said(GROUP, "mail", &said("db", false)).await.unwrap(), "channels are told by themselves");
        assert!(!store.was_said("other", "chat", &said("db", false)).await.unwrap(), "so are groups");
        let again = store.commit(work(&fence, "2", saying("db", false, MINUTE))).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        assert_eq!(store.inbox(&work(&fence, "2", Vec::new()).inbox).await, Ok(None), "nothing is left of it");
        store.commit(work(&fence, "3", saying("db", true, Duration::ZERO))).await.unwrap();
        assert_eq!((was_said(false).await, was_said(true).await), (false, false), "and its window is over");
        assert_eq!(
            store.commit(work(&fence, "4", saying("db", true, MINUTE))).await,
            Ok(Committed::Written(Vec::new()))
        );
        assert_eq!(store.purge_said(10).await, Ok(0));
        store.commit(work(&fence, "5", saying("old", false, Duration::ZERO))).await.unwrap();
        assert_eq!(store.purge_said(10).await, Ok(1));
        assert!(was_said(true).await);
    })
    .await;
}

/// Those that are due, as soon as there are any; leased for `lease`.
async fn due(store: &dyn Store, lease: Duration) -> Vec<DueNotices> {
    let begun = std::time::Instant::now();
    loop {
        let due = store.lease_notices(GROUP, 10, lease).await.unwrap();
        if !due.is_empty() {
            return due;
        }
        assert!(begun.elapsed() < MINUTE, "nothing was due");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn those_of_one_group_are_one_message_and_nothing_joins_one_that_is_due() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        // At once, by several: one message all the same.
        let joining = (0..3).map(|n| {
            let (store, work) = (Arc::clone(&store), work(&fence, &n.to_string(), waiting(n, WAIT)));
            tokio::spawn(async move { store.commit(work).await.unwrap() })
        });
        for joined in joining.collect::<Vec<_>>() {
            joined.await.unwrap();
        }
        // The first is full.
        store.commit(work(&fence, "3", waiting(3, MINUTE))).await.unwrap();
        let first = due(&*store, Duration::ZERO).await;
        assert_eq!(first.len(), 1);
        let mut members = first[0].notifications.clone();
        members.sort();
        assert_eq!(members, ["0", "1", "2"]);
        let DueNotices { channel, group_key, correlation_id, .. } = &first[0];
        assert_eq!((channel.as_str(), group_key.as_str(), correlation_id.as_str()), ("chat", "g", "c"));
        store.commit(work(&fence, "4", waiting(4, MINUTE))).await.unwrap();
        // Whoever had it did not say that it is done.
        assert_eq!(due(&*store, MINUTE).await, first);
        assert!(store.lease_notices(GROUP, 10, MINUTE).await.unwrap().is_empty(), "it is another's");
        store.delete_notices(GROUP, &first[0].delivery_id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_that_waits_no_longer_is_another() {
    on_every_store(|store| async move {
        let fence = fence(&*store).await;
        for n in 0..2 {
            store.commit(work(&fence, &n.to_string(), waiting(n, Duration::ZERO))).await.unwrap();
        }
        let ids: Vec<String> = due(&*store, MINUTE).await.into_iter().map(|due| due.delivery_id).collect();
        assert_eq!(ids, ["d-0", "d-1"]);
    })
    .await;
}
