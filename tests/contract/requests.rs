//! The table of requests, over SQLite and Postgres.

use std::time::Duration;

use coafi::store::{self, NewRequest, Requests, Reserved, Together};

use crate::store::databases::{execute, on_every_address};

fn request(id: &str, content: &str) -> NewRequest {
    NewRequest { id: id.into(), source: "/s".into(), principal: "key:a".into(), digest: content.into() }
}

async fn reserve(store: &dyn Requests, request: &NewRequest) -> Reserved {
    store.reserve_each(std::slice::from_ref(request)).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_id_belongs_to_who_sent_it_first_with_what_was_sent() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        assert_eq!(reserve(&*store, &request("1", "x")).await, Reserved::New);
        assert_eq!(reserve(&*store, &request("1", "x")).await, Reserved::Again { published: false });
        store.published(&[request("1", "x")]).await.unwrap();
        assert_eq!(reserve(&*store, &request("1", "x")).await, Reserved::Again { published: true });
        assert_eq!(reserve(&*store, &request("1", "y")).await, Reserved::Conflict);
        let other = NewRequest { principal: "key:b".into(), ..request("1", "x") };
        assert_eq!(reserve(&*store, &other).await, Reserved::Conflict);
        let elsewhere = NewRequest { source: "/t".into(), ..request("1", "y") };
        assert_eq!(reserve(&*store, &elsewhere).await, Reserved::New);
    })
    .await;
}

#[tokio::test]
async fn of_many_that_reserve_an_id_at_once_one_is_the_first() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let (content, all) = (request("1", "x"), 16);
        let reserved = futures_util::future::join_all((0..all).map(|_| reserve(&*store, &content))).await;
        let new = reserved.iter().filter(|reserved| **reserved == Reserved::New).count();
        let again = reserved.iter().filter(|reserved| **reserved == Reserved::Again { published: false }).count();
        assert_eq!((new, again), (1, all - 1), "{reserved:?}");
    })
    .await;
}

#[tokio::test]
async fn a_request_is_known_to_its_principal_until_it_is_purged() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        for id in ["old", "new"] {
            reserve(&*store, &request(id, "x")).await;
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
        assert_eq!(reserve(&*store, &request("old", "y")).await, Reserved::New, "its id is free again");
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_all_are_reserved_or_none() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let (new, again) = (Reserved::New, |published| Reserved::Again { published });
        let batch = |ids: &[&str]| ids.iter().map(|id| request(id, "x")).collect::<Vec<_>>();
        assert_eq!(store.reserve_all(&batch(&["b", "a"])).await, Ok(vec![new.clone(), new.clone()]));
        store.published(&batch(&["a"])).await.unwrap();
        assert_eq!(store.reserve_all(&batch(&["c", "a", "b"])).await, Ok(vec![new.clone(), again(true), again(false)]));
        let conflicting = [request("d", "x"), request("a", "y"), request("e", "x")];
        assert_eq!(store.reserve_all(&conflicting).await, Ok(vec![new.clone(), Reserved::Conflict, new.clone()]));
        assert_eq!(store.reserve_all(&batch(&["e", "d"])).await, Ok(vec![new.clone(), new]), "nothing was reserved");
        assert_eq!(store.reserve_all(&[]).await, Ok(Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn of_many_that_are_reserved_each_a_conflict_is_its_own() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        reserve(&*store, &request("there", "x")).await;
        let each =
            [request("there", "y"), request("a", "x"), request("a", "x"), request("a", "y"), request("there", "x")];
        let again = || Reserved::Again { published: false };
        let expected = vec![Reserved::Conflict, Reserved::New, again(), Reserved::Conflict, again()];
        assert_eq!(store.reserve_each(&each).await, Ok(expected));
        assert_eq!(reserve(&*store, &request("a", "x")).await, again(), "it is reserved although others were not");
        assert_eq!(store.reserve_each(&[]).await, Ok(Vec::new()));
    })
    .await;
}

/// Whoever is first, the answers are those of one after another.
#[tokio::test]
async fn callers_that_come_at_once_are_answered_as_if_they_were_alone() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let together = Together::new(store);
        let (ids, copies) = (100, 3);
        let all = (0..ids * copies).map(|n| {
            let (id, content) = (n % ids, if n % ids == 7 { n / ids } else { 0 });
            together.reserve(request(&id.to_string(), &content.to_string()))
        });
        let reserved: Vec<_> = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
        let count = |what: Reserved| reserved.iter().filter(|reserved| **reserved == what).count();
        let of_one = copies - 1;
        assert_eq!(count(Reserved::New), ids);
        assert_eq!(count(Reserved::Again { published: false }), (ids - 1) * of_one);
        assert_eq!(count(Reserved::Conflict), of_one);
        let published = (0..ids).map(|id| together.published(request(&id.to_string(), "0")));
        assert!(futures_util::future::join_all(published).await.iter().all(Result::is_ok));
        let again = together.reserve(request("0", "0")).await;
        assert_eq!(again, Ok(Reserved::Again { published: true }));
    })
    .await;
}

/// A text that no column takes is nobody's fault but its sender's.
#[tokio::test]
async fn a_request_that_the_database_refuses_is_refused_alone() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let together = Together::new(store);
        let ids = ["a", "b\0", "c"];
        let all = ids.map(|id| together.reserve(request(id, "x")));
        let reserved = futures_util::future::join_all(all).await;
        assert_eq!((&reserved[0], &reserved[2]), (&Ok(Reserved::New), &Ok(Reserved::New)));
        assert_eq!(reserved[1].is_err(), !url.starts_with("sqlite:"), "{:?}", reserved[1]);
    })
    .await;
}

#[tokio::test]
async fn batches_with_ids_in_common_do_not_block_each_other_for_ever() {
    on_every_address(|url| async move {
        let store = store::open(&url, &store::Settings::default()).await.unwrap();
        let ids: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let batches = (0..8).map(|n| {
            let mut batch: Vec<_> = ids.iter().map(|id| request(id, "x")).collect();
            batch.rotate_left(n * 12);
            batch
        });
        let batches: Vec<_> = batches.collect();
        let reserved = futures_util::future::join_all(batches.iter().map(|batch| store.reserve_all(batch))).await;
        let all = reserved.into_iter().flat_map(Result::unwrap);
        assert_eq!(all.filter(|reserved| *reserved == Reserved::New).count(), ids.len());
    })
    .await;
}
