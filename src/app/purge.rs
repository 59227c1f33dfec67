//! Keeps tables from growing without end: once in a while what is older than its retention goes, in batches that hold no
//! lock for long. Every process does so; two at the same time delete different rows or the same ones.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::{Requests, Store};

/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(600);
/// Rows of one statement.
const BATCH_ROWS: u32 = 1_000;
/// Entries that are indexed at a time, each with its data.
const INDEXED_ROWS: u32 = 200;
/// Statements of one round: 10,000,000 rows in a round, 16,000 a second. What is left waits for the next.
const BATCHES_MAX: u32 = 10_000;

/// Purges the inbox until `stop`, at first at once: a process that never lives for long purges too.
pub(super) async fn inbox(
    store: Arc<dyn Store>,
    retention: Duration,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    rounds("inbox rows", BATCH_ROWS, || store.purge_inbox(retention, BATCH_ROWS), &stop).await;
    Ok(())
}

/// As [`inbox`], of runs of workflows that have ended.
pub(super) async fn workflow_runs(
    store: Arc<dyn Store>,
    retention: Duration,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    rounds("runs of workflows", BATCH_ROWS, || store.purge_workflow_runs(retention, BATCH_ROWS), &stop).await;
    Ok(())
}

/// As [`inbox`], of what channels were told and may be told again.
pub(super) async fn said(store: Arc<dyn Store>, stop: CancellationToken) -> Result<(), Infallible> {
    rounds("notifications that may be said again", BATCH_ROWS, || store.purge_said(BATCH_ROWS), &stop).await;
    Ok(())
}

/// As [`inbox`], of requests over HTTP.
pub(super) async fn requests(
    store: Arc<dyn Requests>,
    retention: Duration,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    rounds("requests", BATCH_ROWS, || store.purge_requests(retention, BATCH_ROWS), &stop).await;
    Ok(())
}

/// Indexes entries that an older program wrote, or that were there before there was an index; see `coafi::registry::words`.
pub(super) async fn words(store: Arc<dyn Requests>, stop: CancellationToken) -> Result<(), Infallible> {
    rounds("words of entries", INDEXED_ROWS, || store.index_entries(INDEXED_ROWS), &stop).await;
    Ok(())
}

/// `batch`: rows of one statement; one that does less was the round's last.
pub(super) async fn rounds<F, E>(rows: &str, batch: u32, purge: impl Fn() -> F, stop: &CancellationToken)
where
    F: Future<Output = Result<u64, E>>,
    E: std::error::Error + 'static,
{
    let mut ticks = tokio::time::interval(INTERVAL);
    // After a round that took longer, the next one is not due at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let rounds = async {
        loop {
            ticks.tick().await;
            round(rows, batch, &purge).await;
        }
    };
    // A statement that is under way when the process is told to stop is rolled back by the database.
    tokio::select! {
        () = stop.cancelled() => {}
        () = rounds => {}
    }
}

async fn round<F, E>(what: &str, batch: u32, purge: &impl Fn() -> F)
where
    F: Future<Output = Result<u64, E>>,
    E: std::error::Error + 'static,
{
    let mut purged = 0;
    for _ in 0..BATCHES_MAX {
        match purge().await {
            Ok(rows) => {
                purged += rows;
                if rows < u64::from(batch) {
                    break;
                }
            }
            // Nothing depends on it now; the next round tries again.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    what,
                    purged,
                    "not done this time; it is tried again"
                );
                return;
            }
        }
    }
    if purged > 0 {
        tracing::info!(what, purged, "done");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::store::StoreError;

    /// Runs for `lasting` on a paused clock; gives when statements ran (seconds from the start), with these answers in
    /// order, then 0.
    async fn purged(lasting: Duration, answers: Vec<Result<u64, StoreError>>) -> Vec<u64> {
        let (start, stop) = (Instant::now(), CancellationToken::new());
        let (answers, times) = (Mutex::new(answers.into_iter()), Mutex::new(Vec::new()));
        let purge = async || {
            times.lock().unwrap().push(start.elapsed().as_secs());
            answers.lock().unwrap().next().unwrap_or(Ok(0))
        };
        let ending = async {
            // Virtual time: the clock stands still, and jumps here when nothing else is to be done before.
            tokio::time::sleep(lasting).await;
            stop.cancel();
        };
        tokio::join!(rounds("rows", BATCH_ROWS, purge, &stop), ending);
        times.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_deletes_batch_after_batch_and_the_next_comes_later() {
        let full = || Ok(u64::from(BATCH_ROWS));
        assert_eq!(purged(Duration::from_secs(1_300), vec![full(), full(), Ok(7)]).await, [0, 0, 0, 600, 1_200]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_away_is_asked_again_in_the_next_round() {
        let away = StoreError::Unavailable { url: "postgres://h/d".into(), message: "refused".into() };
        assert_eq!(purged(INTERVAL, vec![Err(away)]).await.first(), Some(&0));
        let away = StoreError::Conflict("deadlock".into());
        assert_eq!(purged(INTERVAL * 3 / 2, vec![Err(away)]).await, [0, 600]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_has_an_end() {
        let endless = vec![Ok(u64::from(BATCH_ROWS)); BATCHES_MAX as usize + 1];
        assert_eq!(purged(Duration::from_secs(1), endless).await.len(), BATCHES_MAX as usize);
    }
}
