//! Runs the sources that this process owns, and stands by for the others. It knows nothing of what a source reads.
//!
//! A source that fails is not run again here: what may pass, it tries again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::KafkaError;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Ownership, PublisherSettings, Sharing, SourceId};

/// The topic of offsets is looked for this often before it is said not to be there: the broker that is asked may hear of one
/// that has just been made a moment later.
const LOOKS_MAX: u32 = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A source of a connector.
#[async_trait]
pub(super) trait Owned: Send + Sync + 'static {
    type Error: Display + Send + 'static;

    fn id(&self) -> SourceId;

    /// Until `stop`, after the transaction under way, or until there is nothing more to do.
    async fn run(&self, stop: CancellationToken) -> Result<(), Self::Error>;

    /// Somebody else runs it now.
    fn standing_by(&self);
}

/// Why nothing can be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnedError {
    #[error("topic {0:?} does not exist; `coafi topics apply` makes it")]
    NoTopic(String),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// Runs those that `sharing` gives to this process, until `stop` or until all have ended; with what each failed that did.
pub(super) async fn run<S: Owned>(
    sources: Vec<S>,
    sharing: &Sharing,
    publisher: &PublisherSettings,
    stop: &CancellationToken,
) -> Result<BTreeMap<SourceId, S::Error>, OwnedError> {
    let mut running = Running {
        partitions: None,
        waiting: sources.into_iter().map(|source| (source.id(), Arc::new(source))).collect(),
        active: BTreeMap::new(),
        tasks: JoinSet::new(),
        failed: BTreeMap::new(),
        stop: stop.clone(),
    };
    match sharing {
        Sharing::Alone => running.run(watch::channel(BTreeSet::new()).1).await,
        Sharing::Group(group) => {
            running.partitions = Some(partitions(publisher).await?);
            let ownership = Ownership::join(&publisher.client, group, &publisher.offsets_topic)?;
            running.run(ownership.owned()).await;
            ownership.leave().await?;
        }
    }
    Ok(running.failed)
}

async fn partitions(publisher: &PublisherSettings) -> Result<i32, OwnedError> {
    for _ in 0..LOOKS_MAX {
        let asked = publisher.clone();
        let asked = move || Ownership::partitions(&asked.client, &asked.offsets_topic);
        match tokio::task::spawn_blocking(asked).await.unwrap_or(Err(KafkaError::Canceled))? {
            0 => tokio::time::sleep(LOOK_AGAIN).await,
            count => return Ok(count),
        }
    }
    Err(OwnedError::NoTopic(publisher.offsets_topic.clone()))
}

struct Running<S: Owned> {
    /// Of the offsets topic; `None`: every source is ours.
    partitions: Option<i32>,
    /// Not run by this process (now).
    waiting: BTreeMap<SourceId, Arc<S>>,
    active: BTreeMap<SourceId, (Arc<S>, CancellationToken)>,
    tasks: JoinSet<(SourceId, Result<(), S::Error>)>,
    failed: BTreeMap<SourceId, S::Error>,
    stop: CancellationToken,
}

impl<S: Owned> Running<S> {
    async fn run(&mut self, mut owned: watch::Receiver<BTreeSet<i32>>) {
        let stop = self.stop.clone();
        loop {
            let now = owned.borrow_and_update().clone();
            self.follow(&now);
            if self.waiting.is_empty() && self.active.is_empty() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                Ok(()) = owned.changed() => {}
            }
        }
        // Each source ends after its transaction; their tokens are children of ours.
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
    }

    /// Starts what is owned and stops what is not any more.
    fn follow(&mut self, owned: &BTreeSet<i32>) {
        let is_ours = |source: &SourceId| self.partitions.is_none_or(|count| owned.contains(&source.partition(count)));
        for (id, (_, stop)) in &self.active {
            if !is_ours(id) {
                stop.cancel();
            }
        }
        let ours: Vec<SourceId> = self.waiting.keys().filter(|id| is_ours(id)).cloned().collect();
        for id in ours {
            let Some(source) = self.waiting.remove(&id) else { continue };
            let stop = self.stop.child_token();
            self.active.insert(id.clone(), (Arc::clone(&source), stop.clone()));
            self.tasks.spawn(async move { (id, source.run(stop).await) });
        }
    }

    fn ended(&mut self, ended: Result<(SourceId, Result<(), S::Error>), JoinError>) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            // A source's task does not panic but by a bug of ours; what it ran is not run again.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Some((source, stop)) = self.active.remove(&id) else { return };
        match result {
            Err(error) => {
                tracing::error!(source = %id, %error, "the source is not run any more");
                self.failed.insert(id, error);
            }
            // It was taken from us, and may come back.
            Ok(()) if stop.is_cancelled() => {
                source.standing_by();
                self.waiting.insert(id, source);
            }
            Ok(()) => {}
        }
    }
}
