//! The table of requests, over SQLite and Postgres.

use std::time::Duration;

use coafi::store::{self, NewRequest, Reserved};

use crate::store::databases::{execute, on_every_address};

fn request(id: &str, content: &str) -> NewRequest {
    NewRequest { id: id.into(), source: "/s".into(), principal: "key:a".into(), digest: content.into() }
}

#[tokio::test]
async fn an_id_belongs_to_who_sent_it_first_with_what_was_sent() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        assert_eq!(store.reserve(&request("1", "x")).await, Ok(Reserved::New));
        assert_eq!(store.reserve(&request("1", "x")).await, Ok(Reserved::Again { published: false }));
        store.published("1", "/s").await.unwrap();
        assert_eq!(store.reserve(&request("1", "x")).await, Ok(Reserved::Again { published: true }));
        assert_eq!(store.reserve(&request("1", "y")).await, Ok(Reserved::Conflict));
        let other = NewRequest { principal: "key:b".into(), ..request("1", "x") };
        assert_eq!(store.reserve(&other).await, Ok(Reserved::Conflict));
        let elsewhere = NewRequest { source: "/t".into(), ..request("1", "y") };
        assert_eq!(store.reserve(&elsewhere).await, Ok(Reserved::New));
    })
    .await;
}

#[tokio::test]
async fn of_many_that_reserve_an_id_at_once_one_is_the_first() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let (content, all) = (request("1", "x"), 16);
        let reserved = futures_util::future::join_all((0..all).map(|_| store.reserve(&content))).await;
        let new = reserved.iter().filter(|reserved| **reserved == Ok(Reserved::New)).count();
        let again = reserved.iter().filter(|reserved| **reserved == Ok(Reserved::Again { published: false })).count();
        assert_eq!((new, again), (1, all - 1), "{reserved:?}");
    })
    .await;
}

#[tokio::test]
async fn a_request_is_known_to_its_principal_until_it_is_purged() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        for id in ["old", "new"] {
            store.reserve(&request(id, "x")).await.unwrap();
        }
        let found =
            async |id, source, principal| store.request(id, source, principal).await.unwrap().map(|known| known.source);
        assert_eq!(found("new", None, "key:a").await.as_deref(), Some("/s"));
        assert_eq!(found("new", Some("/s"), "key:a").await.as_deref(), Some("/s"));
        assert_eq!(found("new", Some("/t"), "key:a").await, None);
        assert_eq!(found("new", None, "key:b").await, None);
        let hour_ago = if url.starts_with("sqlite:") { "unixepoch() - 3600" } else { "now() - interval '1 hour'" };
        let statement = match hour_ago.starts_with("unixepoch") {
            true => "UPDATE http_request SET created_at = unixepoch() - 3600 WHERE id = 'old'",
            false => "UPDATE http_request SET created_at = now() - interval '1 hour' WHERE id = 'old'",
        };
        execute(&url, statement).await;
        assert_eq!(store.purge_requests(Duration::from_secs(60), 10).await, Ok(1));
        assert_eq!((found("old", None, "key:a").await, found("new", None, "key:a").await.is_some()), (None, true));
        assert_eq!(store.reserve(&request("old", "y")).await, Ok(Reserved::New), "its id is free again");
    })
    .await;
}
