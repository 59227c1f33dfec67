//! What a running replica shows the world: `/health`, `/ready`, `/metrics`.

mod api;
mod connector;
mod database;
mod schedules;
mod tails;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::config::Http;
use crate::dispatch::ConsumedTopic;
use crate::engine::{Dependency, Hold};
use crate::http::{Condition, HttpError, Monitor, Readiness, Said, Server};
use crate::kafka::{PartitionStatus, Status, Watch};
use crate::runtime::{Tasks, unix_ms};
use crate::schema::registry;
use crate::telemetry::{CircuitState, Gauges, Lag, Metrics, PartitionLag};

pub(super) use api::serve_api_pages;
pub(super) use connector::{Watched, serve_connector};
pub(super) use database::Database;
use database::DatabaseAnswers;

/// Between two looks at the replica; a scrape sees numbers of at most this age.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

/// The replica, once there is one: the pages answer before, while database, brokers and registry are waited for.
pub(super) type Started = Arc<OnceLock<Watch>>;

/// Starts the pages and what feeds them.
pub(super) async fn serve(
    tasks: &mut Tasks,
    http: &Http,
    replica: &Started,
    database: &Database,
    registry: registry::Client,
    metrics: Arc<Metrics>,
) -> Result<(), Failure> {
    let server = Server::bind("http.listen", http.listen).await?;
    tracing::info!(address = %server.address(), "serving /health, /ready and /metrics");
    let (polling, member, needing) = (Arc::clone(replica), Arc::clone(replica), Arc::clone(replica));
    let since_beat = move || polling.get().map_or(Duration::ZERO, Watch::since_beat);
    let readiness = Readiness::new(http.probe_timeout)
        .with(Said::new("group", move || membership(member.get())))
        .with(Said::new("dependencies", move || outages(needing.get())))
        .with(DatabaseAnswers(Arc::clone(database)))
        .with(RegistryAnswers(registry));
    let monitor = Monitor::new(since_beat, http.liveness_timeout, readiness, Arc::clone(&metrics));
    tasks.spawn("the HTTP server", server.run(monitor.router(), tasks.stop()));
    tasks.spawn("the metrics' feed", feed(Arc::clone(replica), metrics, tasks.stop()));
    Ok(())
}

/// Ready with an assignment or as a standing member.
fn membership(replica: Option<&Watch>) -> Result<(), String> {
    let status = replica.ok_or("starting: waiting for Kafka and the schema registry")?.status();
    if status.is_ready() {
        return Ok(());
    }
    Err(match status {
        status if status.ending => "the replica is stopping".to_owned(),
        status if status.brokers_down => "no broker answers".to_owned(),
        status if !status.member => "not a member of the group yet".to_owned(),
        _ => "the transactional producer is not initialised yet".to_owned(),
    })
}

/// Whatever the replica itself takes to be down, asked or not: what it was told by handlers, and the ledger.
fn outages(replica: Option<&Watch>) -> Result<(), String> {
    let Some(status) = replica.map(Watch::status) else { return Ok(()) };
    let down = status.open_circuits.iter().map(|dependency| {
        let error = status.outages.get(dependency).map(|trouble| format!(": {}", trouble.message));
        format!("{dependency} {}{}", dependency.state_when_open(), error.unwrap_or_default())
    });
    let down: Vec<String> = down.collect();
    if down.is_empty() { Ok(()) } else { Err(down.join("; ")) }
}

struct RegistryAnswers(registry::Client);

#[async_trait]
impl Condition for RegistryAnswers {
    fn name(&self) -> &'static str {
        Dependency::SCHEMA_REGISTRY
    }

    async fn check(&self) -> Result<(), String> {
        self.0.ping().await.map_err(|error| error.to_string())
    }
}

/// Hands the replica's numbers to the metrics until it is told to stop.
async fn feed(
    replica: Started,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut ticks = tokio::time::interval(METRICS_INTERVAL);
    // Those that everybody has, and those that were ever down: a metric that was there does not disappear.
    let common = [Dependency::DATABASE, Dependency::SCHEMA_REGISTRY, Dependency::ARTIFACTS, Dependency::LEDGER];
    let mut dependencies: BTreeSet<Dependency> = common.into_iter().map(Dependency::new).collect();
    while !stop.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {}
        }
        let Some(watch) = replica.get() else { continue };
        let status = watch.status();
        metrics.set_counts(&status.counts);
        metrics.set_incidents(status.incidents);
        metrics.set_gauges(gauges(&status));
        let now_ms = unix_ms();
        metrics.set_lag(status.assignment.iter().map(|partition| lag(partition, now_ms)).collect());
        watch.take_commit_times().into_iter().for_each(|took| metrics.commit_took(took));
        dependencies.extend(status.open_circuits.iter().cloned());
        for dependency in &dependencies {
            let open = status.open_circuits.contains(dependency);
            metrics.set_circuit(&dependency.0, if open { CircuitState::Open } else { CircuitState::Closed });
        }
    }
    Ok(())
}

fn gauges(status: &Status) -> Gauges {
    let census = &status.census;
    Gauges {
        in_flight: census.in_flight,
        buffered: census.waiting + census.in_flight + census.parked + census.staged,
        buffered_bytes: status.buffered_bytes,
        parked: census.parked,
        beyond_quota: beyond_quota(status),
    }
}

/// As the partitions say what they stand for, about every second.
fn beyond_quota(status: &Status) -> u64 {
    let reasons = status.assignment.iter().flat_map(|partition| &partition.standing.reasons);
    reasons.filter(|reason| matches!(reason.hold, Hold::Tenant { .. })).map(|reason| reason.records).sum()
}

fn lag(partition: &PartitionStatus, now_ms: i64) -> PartitionLag {
    let census = &partition.census;
    let unfetched = partition.end.map_or(0, |end| u64::try_from(end.0 - partition.polled.0).unwrap_or(0));
    let here = Lag {
        unfetched,
        waiting: census.waiting + census.staged + census.halted,
        in_flight: census.in_flight,
        parked: census.parked,
        retrying: 0,
    };
    // What is in a retry topic is retrying, wherever exactly it is there.
    let retrying = here.unfetched + here.waiting + here.in_flight + here.parked;
    let is_retry = ConsumedTopic::parse(&partition.source.topic).tier.is_some();
    PartitionLag {
        topic: Arc::clone(&partition.source.topic),
        partition: partition.source.partition,
        lag: if is_retry { Lag { retrying, ..Lag::default() } } else { here },
        // A record from the future is as good as new.
        oldest: partition.oldest_ms.map(|at_ms| Duration::from_millis(u64::try_from(now_ms - at_ms).unwrap_or(0))),
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::InUse { .. } => Self::usage(error.to_string()),
            HttpError::Bind { ref source, setting, .. } => {
                Self::usage(error.to_string()).because(source.to_string()).next(format!("set {setting}"))
            }
            HttpError::Serve { source, address } => {
                Self::failed(format!("the HTTP server on {address} ended")).because(source)
            }
        }
    }
}
