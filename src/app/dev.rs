//! The role `dev`: every other role in one process, on an embedded cluster, a built-in registry and SQLite.
//!
//! What it keeps is gone at its end, artifacts excepted.

mod reached;
mod serving;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::serving::Serving;
use super::{Backing, Consumer, ConsumerParts, Ended, Places, Tally, git, schedules, tails, topics};
use crate::config::{Git, Repository, Settings};
use crate::connectors::git::{ConnectorError, Progress};
use crate::connectors::schedule::{self, ScheduleError};
use crate::connectors::{Delivery as Publishing, LagBased, Sharing, tail};
use crate::kafka::{Counts, Delivery, Embedded, Status, Watch, topics as declared};
use crate::runtime::{Events, Summary};
use crate::schema::BuiltinRegistry;
use crate::schema::{register, registry};

/// Between two looks at a repository: a commit is to show within two seconds.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// What endpoints may be at besides public addresses and what is allowed.
const LOOPBACK: [&str; 3] = ["127.0.0.0/8", "::1", "localhost"];

/// How long nothing must have come before a run over a history with its workflows is at its end: one event leads to the next, and a
/// partition's end is asked for once a second.
const QUIET: Duration = Duration::from_secs(2);

/// What to run over.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// Paths or URLs.
    pub repositories: Vec<Repository>,
    /// End when every commit has been handled.
    pub once: bool,
    /// With `once`: run workflows too, and end when nothing follows any more.
    pub workflows: bool,
}

/// Everything that runs.
pub struct Dev {
    tally: Arc<Tally>,
    watch: Watch,
    progress: watch::Receiver<Progress>,
    consumer: JoinHandle<anyhow::Result<Status>>,
    connector: JoinHandle<Result<Progress, ConnectorError>>,
    /// Where there is somebody who could use it.
    api: Option<Serving>,
    /// `None` without schedules, and with `once`: they never end.
    schedules: Option<JoinHandle<Result<schedule::Progress, ScheduleError>>>,
    /// Those of topics, where they are configured; none with `once`.
    tails: Vec<JoinHandle<Result<tail::Progress, tail::ConnectorError>>>,
    /// How many events had come, and since when no more have; `None` where nobody waits for that.
    quiet: Option<Mutex<(u64, Instant)>>,
    stop_consumer: CancellationToken,
    stop_connector: CancellationToken,
    started: Instant,
    /// In the order in which they may go: the clients above are gone by then.
    _cluster: Embedded,
    registry: BuiltinRegistry,
    _directory: tempfile::TempDir,
    environment: PathBuf,
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Moment {
    pub summary: Summary,
    /// Events that are or will be published, as far as is known.
    pub total: u64,
    /// Every event that is published has come to an end, and nothing is left to publish.
    pub caught_up: bool,
    /// What keeps a repository from being read.
    pub errors: Vec<String>,
}

impl Dev {
    /// # Errors
    /// Whatever does not start.
    pub async fn start(settings: &Settings, options: &DevOptions, otel: bool) -> anyhow::Result<Self> {
        let declarations = topics::declarations(settings)?;
        let all = declared::topics(&declarations, Some(1));
        let names: Vec<(&str, u32)> =
            all.iter().map(|topic| (topic.name.as_str(), u32::try_from(topic.partitions).unwrap_or(1))).collect();
        let cluster = Embedded::start(&names)?;
        let registry = BuiltinRegistry::start(&register::entries(&declarations)).await?;
        let directory = tempfile::Builder::new().prefix("coafi-dev-").tempdir();
        let directory = directory.context("no temporary directory can be made")?;
        let places = Places {
            bootstrap_servers: cluster.bootstrap_servers().to_owned(),
            client: std::collections::BTreeMap::new(),
            registry: registry::Settings::new(registry.url()),
            database: format!("sqlite:{}", directory.path().join("state.db").display()),
            artifacts: settings.artifacts.clone(),
            reaches_others: true,
        };
        let environment = reached::write(directory.path(), &places)?;
        let mut settings = settings.clone();
        settings.git = Git { repositories: options.repositories.clone(), poll_interval: POLL_INTERVAL, ..settings.git };
        // Whoever writes a handler tries it on the same machine.
        settings.outgoing.allow.extend(LOOPBACK.map(|network| network.parse().expect("it is a network")));
        let group = settings.kafka.group_id.clone();
        let backing = Backing::open(&settings, &places).await?;
        let tally = Arc::new(Tally::default());
        let parts = ConsumerParts {
            settings: &settings,
            places: &places,
            backing: &backing,
            group: group.clone(),
            slot: "dev".to_owned(),
            delivery: Delivery::AtLeastOnce,
            // For `coafi group` in another shell; nobody looks at a run that ends by itself.
            publishes_status: !options.once,
            // Of a history only what the commits themselves come to is wanted, and soon, unless somebody says so.
            runs_workflows: !options.once || options.workflows,
            tally: Some(Arc::clone(&tally)),
            metrics: None,
            hangup: None,
            otel,
            replay: None,
        };
        let (stop_consumer, stop_connector) = (CancellationToken::new(), CancellationToken::new());
        let consumer = Consumer::start(parts, &stop_consumer).await?.context("stopped while starting")?;

        let api = match settings.api.knows_anybody() || settings.federated.takes_pushes() {
            true => Some(Serving::start(&settings, &places, &backing, &group).await?),
            false => None,
        };
        let mut connector = git::connector(&settings.git, &places, &backing)?;
        connector.publisher.delivery = Publishing::Idempotent;
        connector.sharing = Sharing::Alone;
        connector.admission = Arc::new(LagBased::new(&places.client_config(), &group, &connector.topic)?);
        connector.once = options.once;
        let schedules = (!settings.schedules.is_empty() && !options.once)
            .then(|| schedules::embedded(&settings, &places, &backing, &group))
            .transpose()?;
        let schedules = schedules.map(|connector| {
            tokio::spawn(connector.run(stop_connector.clone(), watch::channel(schedule::Progress::default()).0))
        });
        let tails = match options.once {
            true => Vec::new(),
            false => tails::embedded(&settings, &places, &backing, &group)?,
        };
        let tails = tails.into_iter().map(|connector| {
            tokio::spawn(connector.run(stop_connector.clone(), watch::channel(tail::Progress::default()).0))
        });
        let tails = tails.collect();
        let (progress, watched) = watch::channel(Progress::default());
        Ok(Self {
            tally,
            watch: consumer.watch(),
            progress: watched,
            consumer: tokio::spawn(consumer.run(stop_consumer.clone())),
            connector: tokio::spawn(connector.run(stop_connector.clone(), progress)),
            api,
            schedules,
            tails,
            quiet: (options.once && options.workflows).then(|| Mutex::new((0, Instant::now()))),
            stop_consumer,
            stop_connector,
            started: Instant::now(),
            _cluster: cluster,
            registry,
            _directory: directory,
            environment,
        })
    }

    /// Where the API is served, if it is.
    #[must_use]
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.api.as_ref().map(|api| api.address)
    }

    /// The file that a shell reads so that other commands reach this one, as long as it runs.
    #[must_use]
    pub fn environment(&self) -> &Path {
        &self.environment
    }

    /// How far it is now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let (status, progress) = (self.watch.status(), self.progress.borrow().clone());
        let summary = self.summary(&status);
        let published = progress.published();
        let read = progress.is_up_to_date() || self.connector.is_finished();
        Moment {
            caught_up: read
                && !progress.repositories.is_empty()
                && summary.events.ended() >= published
                && summary.lag == 0
                && self.is_quiet(&status),
            total: published.max(progress.found()),
            errors: progress
                .repositories
                .iter()
                .filter_map(|(name, r)| Some(format!("{name}: {}", r.error.as_ref()?)))
                .collect(),
            summary,
        }
    }

    /// Events that ended since the last call.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        self.tally.take_ended()
    }

    /// Whether a role has ended that should be running.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.consumer.is_finished()
            || self.api.as_ref().is_some_and(Serving::has_failed)
            || self.schedules.as_ref().is_some_and(JoinHandle::is_finished)
            || self.tails.iter().any(JoinHandle::is_finished)
    }

    /// Ends every role in order, and gives the final summary.
    ///
    /// # Errors
    /// What a role ended with.
    pub async fn finish(self) -> anyhow::Result<Summary> {
        self.stop_connector.cancel();
        let published = self.connector.await.context("the git connector")?;
        let served = match self.api {
            Some(api) => api.finish().await,
            None => Ok(()),
        };
        let fired = match self.schedules {
            Some(schedules) => schedules.await.context("the schedule connector")?.map(drop),
            None => Ok(()),
        };
        let mut tailed = Ok(());
        for connector in self.tails {
            tailed = tailed.and(connector.await.context("a connector of a topic")?.map(drop));
        }
        self.stop_consumer.cancel();
        let status = self.consumer.await.context("the consumer")??;
        let tally = Arc::clone(&self.tally);
        let summary = summary(&status, &tally, self.started.elapsed());
        self.registry.stop().await?;
        published?;
        served?;
        fired?;
        tailed?;
        Ok(summary)
    }

    fn is_quiet(&self, status: &Status) -> bool {
        let Some(quiet) = &self.quiet else { return true };
        let mut quiet = quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if quiet.0 != status.counts.polled || status.settling {
            *quiet = (status.counts.polled, Instant::now());
        }
        quiet.1.elapsed() >= QUIET
    }

    fn summary(&self, status: &Status) -> Summary {
        summary(status, &self.tally, self.started.elapsed())
    }
}

impl std::fmt::Debug for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dev").field("moment", &self.moment()).finish_non_exhaustive()
    }
}

fn summary(status: &Status, tally: &Tally, elapsed: Duration) -> Summary {
    Summary {
        events: events(&status.counts),
        files: tally.files(),
        artifacts: tally.artifacts(),
        audit_records: tally.audit_records(),
        lag: status.lag().map_or(0, |lag| u64::try_from(lag).unwrap_or(0)),
        seconds: elapsed.as_secs_f64(),
    }
}

/// The counts that `coafi dev` and `coafi consume` report.
pub(crate) fn events(counts: &Counts) -> Events {
    Events {
        polled: counts.polled,
        processed: counts.processed,
        duplicate: counts.duplicate,
        filtered: counts.filtered,
        retried: counts.retried,
        dead_lettered: counts.dead_lettered,
        unprocessed: counts.unprocessed,
    }
}
