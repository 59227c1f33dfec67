//! The git connector: runs the sources that this process owns, and stands by for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::error::KafkaError;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::events::GIT_TOPIC;
use super::progress::{Phase, Progress};
use super::source::{CONNECTOR, Shared, Source, SourceError};
use super::{Repositories, RepositorySettings};
use crate::connectors::owned::{self, Owned, OwnedError};
use crate::connectors::wakes::Wakes;
use crate::connectors::{Admission, Open, PublisherSettings, Sharing, SourceId};
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

impl From<OwnedError> for ConnectorError {
    fn from(error: OwnedError) -> Self {
        match error {
            OwnedError::NoTopic(topic) => Self::NoTopic(topic),
            OwnedError::Kafka(error) => Self::Kafka(error),
        }
    }
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
        let shared = Shared {
            repositories: self.repositories,
            codec: self.codec,
            topic: self.topic,
            publisher: self.publisher,
            admission: self.admission,
            instance: self.instance,
            once: self.once,
            progress,
        };
        shared.progress.send_modify(|progress| {
            for settings in &self.watched {
                progress.repositories.entry(settings.address.id.to_string()).or_default();
            }
        });
        let source =
            |settings| Source { settings: Arc::new(settings), shared: shared.clone(), woken: Arc::<Notify>::default() };
        let sources: Vec<Source> = self.watched.into_iter().map(source).collect();
        let woken = sources.iter().map(|source| (source.id(), Arc::clone(&source.woken))).collect();
        let failed = tokio::select! {
            failed = owned::run(sources, &self.sharing, &shared.publisher, &stop) => failed?,
            () = wake(woken, wakes) => BTreeMap::new(),
        };
        if failed.is_empty() {
            Ok(shared.progress.borrow().clone())
        } else {
            Err(ConnectorError::Failed(failed.into_iter().map(|(id, error)| (id.source, error)).collect()))
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
}

#[async_trait]
impl Owned for Source {
    type Error = SourceError;

    fn id(&self) -> SourceId {
        Self::id_of(&self.settings)
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), SourceError> {
        self.watch(&stop).await
    }

    fn standing_by(&self) {
        self.report(|progress| progress.phase = Phase::StandingBy);
    }
}

/// Tells sources, whoever runs them, to look.
async fn wake(woken: BTreeMap<SourceId, Arc<Notify>>, mut wakes: Option<Wakes>) {
    while let Some(source) = next(&mut wakes).await {
        // One that is not watched here is somebody else's.
        if let Some(woken) = woken.get(&source) {
            woken.notify_one();
        }
    }
    // Nothing wakes any.
    std::future::pending().await
}

/// The next source that is woken; `None` if nothing wakes any.
async fn next(wakes: &mut Option<Wakes>) -> Option<SourceId> {
    wakes.as_mut()?.next(CONNECTOR).await
}

fn list(failed: &BTreeMap<String, SourceError>) -> String {
    failed.values().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
