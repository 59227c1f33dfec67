//! The git connector: runs the sources that this process owns, and stands by for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::error::KafkaError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::events::GIT_TOPIC;
use super::progress::{Phase, Progress};
use super::source::{CONNECTOR, Shared, Source, SourceError};
use super::{Repositories, RepositorySettings};
use crate::connectors::wakes::Wakes;
use crate::connectors::{Admission, Open, Ownership, PublisherSettings, Sharing, SourceId};
use crate::kafka::scan::{Reader, ScanError};
use crate::schema::Codec;

/// More repositories than this in one connector are an error: each has a producer of its own.
pub const SOURCES_MAX: usize = 1_000;

/// A connector, before it runs.
#[derive(Clone, Debug)]
pub struct GitConnector {
    pub watched: Vec<RepositorySettings>,
    pub repositories: Repositories,
    pub codec: Codec,
    pub publisher: PublisherSettings,
    pub topic: Arc<str>,
    pub admission: Arc<dyn Admission>,
    pub sharing: Sharing,
    /// With what the topic of wakes is followed; `None`: repositories are looked at by the clock alone.
    pub wakes: Option<Reader>,
    /// For people who look at who owns a source, e.g. host and process id.
    pub instance: String,
    /// Publish what is there and end, instead of watching on.
    pub once: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("{0} repositories are configured; allowed: 1 to {SOURCES_MAX}")]
    Sources(usize),
    #[error("repository {0} is configured twice")]
    Twice(String),
    #[error("topic {0:?} does not exist; `coafi topics apply` makes it")]
    NoTopic(String),
    #[error("the group that shares out sources: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the topic of wakes: {0}")]
    Wakes(#[from] ScanError),
    /// With `once`, or where offsets cannot be read. The others are published.
    #[error("{} of the repositories could not be published: {}", .0.len(), list(.0))]
    Failed(BTreeMap<String, SourceError>),
}

impl GitConnector {
    /// On the topic `coafi.git`, always admitted, shared out by the group `coafi.connect.git`.
    #[must_use]
    pub fn new(watched: Vec<RepositorySettings>, codec: Codec, publisher: PublisherSettings) -> Self {
        Self {
            watched,
            repositories: Repositories::default(),
            codec,
            publisher,
            topic: GIT_TOPIC.into(),
            admission: Arc::new(Open),
            sharing: Sharing::Group(format!("coafi.connect.{CONNECTOR}")),
            wakes: None,
            instance: format!("pid {}", std::process::id()),
            once: false,
        }
    }

    /// Runs until `stop`, or, with `once`, until all is published; a transaction under way is completed. `progress` shows
    /// every watched repository from the start.
    ///
    /// # Errors
    /// [`ConnectorError`]. A repository that fails is retried for ever, unless `once`.
    pub async fn run(
        self,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Progress, ConnectorError> {
        self.check()?;
        let wakes = self.wakes.as_ref().filter(|_| !self.once).map(Wakes::follow).transpose()?;
        let mut running = Running {
            partitions: match self.sharing {
                Sharing::Alone => None,
                Sharing::Group(_) => Some(self.partitions()?),
            },
            woken: self.watched.iter().map(|settings| (Source::id(settings), Arc::default())).collect(),
            wakes,
            waiting: self.watched.into_iter().map(|settings| (Source::id(&settings), Arc::new(settings))).collect(),
            active: BTreeMap::new(),
            tasks: JoinSet::new(),
            failed: BTreeMap::new(),
            stop,
            shared: Shared {
                repositories: self.repositories,
                codec: self.codec,
                topic: self.topic,
                publisher: self.publisher,
                admission: self.admission,
                instance: self.instance,
                once: self.once,
                progress,
            },
        };
        running.announce();
        match self.sharing {
            Sharing::Alone => running.run(watch::channel(BTreeSet::new()).1).await,
            Sharing::Group(group) => {
                let settings = &running.shared.publisher;
                let ownership = Ownership::join(&settings.client, &group, &settings.offsets_topic)?;
                running.run(ownership.owned()).await;
                ownership.leave().await?;
            }
        }
        if running.failed.is_empty() {
            Ok(running.shared.progress.borrow().clone())
        } else {
            Err(ConnectorError::Failed(running.failed))
        }
    }

    fn check(&self) -> Result<(), ConnectorError> {
        if self.watched.is_empty() || self.watched.len() > SOURCES_MAX {
            return Err(ConnectorError::Sources(self.watched.len()));
        }
        let mut seen = BTreeSet::new();
        let twice = self.watched.iter().find(|settings| !seen.insert(&settings.address.id));
        twice.map_or(Ok(()), |settings| Err(ConnectorError::Twice(settings.address.id.to_string())))
    }

    fn partitions(&self) -> Result<i32, ConnectorError> {
        let topic = self.publisher.offsets_topic.as_str();
        match Ownership::partitions(&self.publisher.client, topic)? {
            0 => Err(ConnectorError::NoTopic(topic.to_owned())),
            count => Ok(count),
        }
    }
}

/// The sources of a connector that runs.
struct Running {
    shared: Shared,
    /// Of the offsets topic; `None`: every source is ours.
    partitions: Option<i32>,
    wakes: Option<Wakes>,
    /// How each source, whoever runs it, is told to look.
    woken: BTreeMap<SourceId, Arc<Notify>>,
    /// Not run by this process (now).
    waiting: BTreeMap<SourceId, Arc<RepositorySettings>>,
    active: BTreeMap<SourceId, (Arc<RepositorySettings>, CancellationToken)>,
    tasks: JoinSet<(SourceId, Result<(), SourceError>)>,
    failed: BTreeMap<String, SourceError>,
    stop: CancellationToken,
}

impl Running {
    fn announce(&self) {
        self.shared.progress.send_modify(|progress| {
            for source in self.waiting.keys() {
                progress.repositories.entry(source.source.clone()).or_default();
            }
        });
    }

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
                Some(source) = next(&mut self.wakes) => {
                    // One that is not watched here is somebody else's.
                    if let Some(woken) = self.woken.get(&source) {
                        woken.notify_one();
                    }
                }
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
        for (source, (_, stop)) in &self.active {
            if !is_ours(source) {
                stop.cancel();
            }
        }
        let ours: Vec<SourceId> = self.waiting.keys().filter(|source| is_ours(source)).cloned().collect();
        for id in ours {
            let Some(settings) = self.waiting.remove(&id) else { continue };
            let stop = self.stop.child_token();
            let source = Source {
                settings: Arc::clone(&settings),
                shared: self.shared.clone(),
                woken: self.woken.get(&id).cloned().unwrap_or_default(),
                stop: stop.clone(),
            };
            self.active.insert(id.clone(), (settings, stop));
            self.tasks.spawn(async move { (id, source.run().await) });
        }
    }

    fn ended(&mut self, ended: Result<(SourceId, Result<(), SourceError>), tokio::task::JoinError>) {
        let (id, result) = match ended {
            Ok(ended) => ended,
            // A source's task does not panic but by a bug of ours; what it ran is not run again.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let Some((settings, stop)) = self.active.remove(&id) else { return };
        match result {
            Err(error) => {
                tracing::error!(repository = %id.source, %error, "the repository is not watched any more");
                self.failed.insert(id.source, error);
            }
            // It was taken from us, and may come back.
            Ok(()) if stop.is_cancelled() => {
                self.shared.progress.send_modify(|progress| {
                    progress.repositories.entry(id.source.clone()).or_default().phase = Phase::StandingBy;
                });
                self.waiting.insert(id, settings);
            }
            Ok(()) => {}
        }
    }
}

/// The next source that is woken; `None` if nothing wakes any.
async fn next(wakes: &mut Option<Wakes>) -> Option<SourceId> {
    wakes.as_mut()?.next(CONNECTOR).await
}

fn list(failed: &BTreeMap<String, SourceError>) -> String {
    failed.values().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
