//! What a running API shows the world besides itself: the same three pages, on their own address.

use std::sync::Arc;
use std::time::Duration;

use super::RegistryAnswers;
use super::database::{Database, DatabaseAnswers};
use crate::cli::Failure;
use crate::config::Http;
use crate::http::{Monitor, Readiness, Server};
use crate::runtime::Tasks;
use crate::schema::registry;
use crate::telemetry::Metrics;

/// Starts the pages. There is no poll loop to watch: an API is alive as long as its process answers.
pub(in crate::cli) async fn serve_api_pages(
    tasks: &mut Tasks,
    http: &Http,
    registry: registry::Client,
    database: &Database,
    metrics: Arc<Metrics>,
) -> Result<(), Failure> {
    let server = Server::bind("http.listen", http.listen).await?;
    tracing::info!(address = %server.address(), "serving /health, /ready and /metrics");
    let readiness =
        Readiness::new(http.probe_timeout).with(RegistryAnswers(registry)).with(DatabaseAnswers(Arc::clone(database)));
    let monitor = Monitor::new(|| Duration::ZERO, http.liveness_timeout, readiness, metrics);
    tasks.spawn("the HTTP server", server.run(monitor.router(), tasks.stop()));
    Ok(())
}
