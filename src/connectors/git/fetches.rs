//! Clones and fetches under way: one at a time for each mirror, in tasks of their own.
//!
//! Whoever needs a mirror waits for its task. That somebody stops waiting (a handler's attempt is over, its partition is
//! taken away) does not end the fetch: the next attempt finds what the first one began. Each fetch has its own time limit;
//! [`Fetches::stop`], or dropping this, interrupts all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connector::SOURCES_MAX;
use super::{GitError, RepositoryId};

/// Fetches under way and queued: one for each source that a connector can have, and as many for what events name.
const FETCHES_MAX: usize = 2 * SOURCES_MAX;

/// Fetches that run; the others are queued. Each has a thread and a connection.
const RUNNING_MAX: usize = 32;

/// A fetch that was told to stop is left behind after this long.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// Says stop.
pub(super) type Interrupt = Arc<AtomicBool>;

/// `None` until it has ended.
type Ended = Option<Result<(), GitError>>;

type Running = Mutex<HashMap<RepositoryId, watch::Receiver<Ended>>>;

#[derive(Debug)]
pub(super) struct Fetches {
    limit: Duration,
    slots: Arc<Semaphore>,
    running: Arc<Running>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Fetches {
    /// `limit`: of each fetch, from when it runs.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            slots: Arc::new(Semaphore::new(RUNNING_MAX)),
            running: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Waits for the repository's fetch that is under way; where there is none, `work` is one. `work` blocks, and looks at
    /// the flag that says stop; it may set it itself.
    ///
    /// # Errors
    /// The fetch's own; [`GitError::TimedOut`], [`GitError::Stopped`], [`GitError::Busy`].
    pub(super) async fn shared<W>(&self, id: &RepositoryId, work: W) -> Result<(), GitError>
    where
        W: FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static,
    {
        let ended = self.join(id, work)?;
        result(ended, id).await
    }

    /// As [`Self::shared`], for a fetch that begins now or later: one that is under way may have asked the server before
    /// there was what the caller looks for.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub(super) async fn fresh<W>(&self, id: &RepositoryId, work: W) -> Result<(), GitError>
    where
        W: FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static,
    {
        let earlier = lock(&self.running).get(id).cloned();
        if let Some(earlier) = earlier {
            result(earlier, id).await?;
        }
        self.shared(id, work).await
    }

    /// Interrupts what runs, and waits until it has ended, for a bounded time. Nothing is fetched afterwards.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(INTERRUPT_GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!(fetches = self.tasks.len(), "git fetches that do not end are left behind");
        }
    }

    fn join<W>(&self, id: &RepositoryId, work: W) -> Result<watch::Receiver<Ended>, GitError>
    where
        W: FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(ended) = running.get(id) {
            return Ok(ended.clone());
        }
        if running.len() >= FETCHES_MAX {
            return Err(GitError::Busy { url: id.to_string(), limit: FETCHES_MAX });
        }
        let (tell, ended) = watch::channel(None);
        running.insert(id.clone(), ended.clone());
        let fetch = Fetch {
            id: id.clone(),
            limit: self.limit,
            slots: Arc::clone(&self.slots),
            running: Arc::clone(&self.running),
            stop: self.stop.clone(),
            tell,
        };
        self.tasks.spawn(fetch.run(work));
        Ok(ended)
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One task.
struct Fetch {
    id: RepositoryId,
    limit: Duration,
    slots: Arc<Semaphore>,
    running: Arc<Running>,
    stop: CancellationToken,
    tell: watch::Sender<Ended>,
}

impl Fetch {
    async fn run(self, work: impl FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static) {
        let result = self.fetch(work).await;
        // In this order: who hears of the end and asks again starts a fetch of its own.
        lock(&self.running).remove(&self.id);
        self.tell.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(result);
            first
        });
    }

    async fn fetch(
        &self,
        work: impl FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static,
    ) -> Result<(), GitError> {
        let url = || self.id.to_string();
        let permit = tokio::select! {
            permit = Arc::clone(&self.slots).acquire_owned() => permit.expect("the semaphore is never closed"),
            () = self.stop.cancelled() => return Err(GitError::Stopped { url: url() }),
        };
        let interrupt = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&interrupt);
        let mut fetching = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&told)
        });
        let early = tokio::select! {
            fetched = tokio::time::timeout(self.limit, &mut fetching) => match fetched {
                Ok(Ok(fetched)) => return fetched,
                Ok(Err(error)) => return Err(GitError::Panicked { url: url(), detail: error.to_string() }),
                Err(_) => GitError::TimedOut { url: url(), seconds: self.limit.as_secs() },
            },
            () = self.stop.cancelled() => GitError::Stopped { url: url() },
        };
        interrupt.store(true, Ordering::Relaxed);
        self.tell.send_replace(Some(Err(early.clone())));
        // The mirror's directory is this thread's until it ends: until then nobody else may fetch.
        let _interrupted = fetching.await;
        Err(early)
    }
}

async fn result(mut ended: watch::Receiver<Ended>, id: &RepositoryId) -> Result<(), GitError> {
    match ended.wait_for(Option::is_some).await {
        Ok(ended) => ended.clone().expect("it was waited for"),
        // The task is gone without a word: the runtime ends.
        Err(_) => Err(GitError::Stopped { url: id.to_string() }),
    }
}

fn lock(running: &Running) -> MutexGuard<'_, HashMap<RepositoryId, watch::Receiver<Ended>>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::super::Address;
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn id(path: &str) -> RepositoryId {
        Address::parse(path, Path::new("/")).unwrap().id
    }

    fn until_interrupted(interrupt: &Interrupt) -> Result<(), GitError> {
        while !interrupt.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Work that ends when it is told to.
    fn held() -> (mpsc::Sender<()>, impl FnOnce(&Interrupt) -> Result<(), GitError> + Send + 'static) {
        let (end, ended) = mpsc::channel::<()>();
        let work = move |interrupt: &Interrupt| {
            ended.recv().unwrap();
            assert!(!interrupt.load(Ordering::Relaxed), "nobody asked it to stop");
            Ok(())
        };
        (end, work)
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_fetch_to_the_next() {
        let (fetches, a) = (Fetches::new(LONG), id("/a"));
        let (end, work) = held();
        assert_eq!(fetches.shared(&a, work).now_or_never(), None);
        let mut next = Box::pin(fetches.shared(&a, |_| panic!("one fetch of a repository at a time")));
        assert_eq!((&mut next).now_or_never(), None);
        assert_eq!(fetches.shared(&id("/b"), |_| Ok(())).await, Ok(()), "another repository's does not wait");
        end.send(()).unwrap();
        assert_eq!(next.await, Ok(()));
    }

    #[tokio::test]
    async fn a_fresh_fetch_begins_after_the_one_that_is_under_way() {
        let (fetches, a) = (Fetches::new(LONG), id("/a"));
        let (end, work) = held();
        assert_eq!(fetches.shared(&a, work).now_or_never(), None);
        let (ran, runs) = mpsc::channel();
        let mut fresh = Box::pin(fetches.fresh(&a, move |_| {
            ran.send(()).unwrap();
            Ok(())
        }));
        assert_eq!((&mut fresh).now_or_never(), None);
        runs.try_recv().unwrap_err();
        end.send(()).unwrap();
        fresh.await.unwrap();
        runs.try_recv().expect("it ran itself");
    }

    #[tokio::test]
    async fn a_fetch_that_takes_too_long_is_interrupted_and_may_be_tried_again() {
        let fetches = Fetches::new(Duration::from_millis(10));
        let error = fetches.shared(&id("/a"), until_interrupted).await.unwrap_err();
        assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
        // Who asks before the thread is gone hears the same.
        while fetches.shared(&id("/a"), |_| Ok(())).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn told_to_stop_it_ends_what_runs_and_begins_nothing() {
        let (fetches, a) = (Fetches::new(LONG), id("/a"));
        assert_eq!(fetches.shared(&a, until_interrupted).now_or_never(), None);
        let waiting = fetches.shared(&a, |_| Ok(()));
        let (stopped, ()) = tokio::join!(waiting, fetches.stop());
        assert!(matches!(stopped, Err(GitError::Stopped { .. })), "{stopped:?}");
        assert!(fetches.tasks.is_empty());
        let after = fetches.shared(&id("/b"), until_interrupted).await;
        assert!(matches!(after, Err(GitError::Stopped { .. })), "{after:?}");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own_repository() {
        let fetches = Fetches::new(LONG);
        let error = fetches.shared(&id("/a"), |_| panic!("a bug")).await.unwrap_err();
        assert!(matches!(error, GitError::Panicked { .. }), "{error}");
        assert_eq!(fetches.shared(&id("/a"), |_| Ok(())).await, Ok(()));
    }
}
