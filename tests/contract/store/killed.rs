//! What was acknowledged is there after the database was killed, whatever else its connections were used for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coafi::store::{self, Committed, Fence, Store, StoreError};
use coafi_testcontainers::Postgres;
use serde_json::json;

use super::{fence, inbox, put, work};

const KILLS: u64 = 2;
const HANDLERS: u64 = 24;
/// Units of work that are acknowledged before a kill, and how long that may take.
const WORKS: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(60);
/// Every third handler is cancelled after at most this, the others never.
const CANCELLED_WITHIN_US: u64 = 60_000;
const UNDISTURBED: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Progress {
    ids: AtomicU64,
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

/// Ids whose commit was acknowledged until it is told to stop.
async fn handle(store: Arc<dyn Store>, fence: Fence, progress: Arc<Progress>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    while !progress.stop.load(Ordering::Relaxed) {
        let id = progress.ids.fetch_add(1, Ordering::Relaxed);
        let name = format!("event {id}");
        let entry = format!("entry {}", id % 40);
        let one = async {
            store.inbox(&inbox(&name)).await?;
            let before = store.entry("r", &entry).await?.map_or(0, |entry| entry.version);
            let mut change = put(&entry, json!(id));
            change.expected_version = Some(before);
            store.commit(work(&fence, &name, vec![change])).await
        };
        let limit =
            if id.is_multiple_of(3) { Duration::from_micros(id * 7_919 % CANCELLED_WITHIN_US) } else { UNDISTURBED };
        if let Ok(Ok(Committed::Written(_))) = tokio::time::timeout(limit, one).await {
            acknowledged.push(id);
            progress.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let mut postgres = Postgres::start().unwrap();
    let store = store::open(&postgres.url(), &store::Settings::default()).await.unwrap();
    let progress = Arc::<Progress>::default();
    for kill in 1..=KILLS {
        let fence = fence(&*store).await;
        let handler = || tokio::spawn(handle(Arc::clone(&store) as _, fence.clone(), Arc::clone(&progress)));
        let handlers: Vec<_> = (0..HANDLERS).map(|_| handler()).collect();
        let deadline = Instant::now() + PATIENCE;
        while progress.acknowledged.load(Ordering::Relaxed) < kill * WORKS {
            assert!(Instant::now() < deadline, "{WORKS} units of work take longer than {PATIENCE:?}");
            tokio::task::yield_now().await;
        }
        postgres.kill().unwrap();
        progress.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for handler in handlers {
            acknowledged.extend(handler.await.unwrap());
        }
        postgres.restart().unwrap();
        progress.stop.store(false, Ordering::Relaxed);
        for id in &acknowledged {
            assert!(is_there(&*store, *id).await, "kill {kill}: {id} of {} acknowledged is lost", acknowledged.len());
        }
    }
}

async fn is_there(store: &dyn Store, id: u64) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.inbox(&inbox(&format!("event {id}"))).await {
            Ok(found) => return found.is_some(),
            // The pool's connections are those of before.
            Err(StoreError::Unavailable { .. }) if Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
    }
}
