//! What a running connector shows the world: the same three pages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{METRICS_INTERVAL, RegistryAnswers};
use crate::cli::Failure;
use crate::config::Http;
use crate::connectors::git::{Phase, Progress, RepositoryProgress};
use crate::http::{Monitor, Readiness, Said, Server};
use crate::runtime::Tasks;
use crate::schema::registry;
use crate::telemetry::{Metrics, SourceProgress};

/// What the pages tell of a connector.
pub(in crate::cli) trait Watched: Clone + Send + Sync + 'static {
    /// What readiness calls its sources.
    const WHAT: &'static str;

    /// Why it is not ready.
    fn trouble(&self) -> Result<(), String>;

    fn sources(&self) -> Vec<SourceProgress>;
}

/// Starts the pages and what feeds them. There is no poll loop to watch: a connector is alive as long as its process answers,
/// and tries again by itself whatever fails.
pub(in crate::cli) async fn serve_connector<P: Watched>(
    tasks: &mut Tasks,
    http: &Http,
    progress: watch::Receiver<P>,
    registry: registry::Client,
    metrics: Arc<Metrics>,
) -> Result<(), Failure> {
    let server = Server::bind("http.listen", http.listen).await?;
    tracing::info!(address = %server.address(), "serving /health, /ready and /metrics");
    let sources = progress.clone();
    let readiness = Readiness::new(http.probe_timeout)
        .with(Said::new(P::WHAT, move || sources.borrow().trouble()))
        .with(RegistryAnswers(registry));
    let monitor = Monitor::new(|| Duration::ZERO, http.liveness_timeout, readiness, Arc::clone(&metrics));
    tasks.spawn("the HTTP server", server.run(monitor.router(), tasks.stop()));
    tasks.spawn("the metrics' feed", feed(progress, metrics, tasks.stop()));
    Ok(())
}

impl Watched for Progress {
    const WHAT: &'static str = "repositories";

    fn trouble(&self) -> Result<(), String> {
        repositories(self)
    }

    fn sources(&self) -> Vec<SourceProgress> {
        self.repositories.iter().map(|(name, state)| source(name, state)).collect()
    }
}

/// Ready while nothing fails; standing by for another connector is ready.
fn repositories(progress: &Progress) -> Result<(), String> {
    if progress.repositories.is_empty() {
        return Err("starting: waiting for Kafka".to_owned());
    }
    let failing: Vec<_> = progress
        .repositories
        .iter()
        .filter(|(_, repository)| repository.phase == Phase::Failing)
        .map(|(name, repository)| format!("{name}: {}", repository.error.as_deref().unwrap_or("it is tried again")))
        .collect();
    if failing.is_empty() { Ok(()) } else { Err(failing.join("; ")) }
}

async fn feed<P: Watched>(
    progress: watch::Receiver<P>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut ticks = tokio::time::interval(METRICS_INTERVAL);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {}
        }
        let sources = progress.borrow().sources();
        metrics.set_sources(sources);
    }
    Ok(())
}

fn source(name: &str, state: &RepositoryProgress) -> SourceProgress {
    SourceProgress {
        source: name.into(),
        published: state.published,
        backlog: state.found.saturating_sub(state.done),
        failing: state.phase == Phase::Failing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_fails_is_named_until_it_succeeds() {
        let mut progress = Progress::default();
        assert!(repositories(&progress).is_err_and(|why| why.contains("starting")));
        progress.repositories.insert("/a".to_owned(), RepositoryProgress::default());
        assert_eq!(repositories(&progress), Ok(()), "standing by");
        let failing =
            RepositoryProgress { phase: Phase::Failing, error: Some("gone".to_owned()), ..Default::default() };
        progress.repositories.insert("/b".to_owned(), failing);
        assert_eq!(repositories(&progress), Err("/b: gone".to_owned()));
    }
}
