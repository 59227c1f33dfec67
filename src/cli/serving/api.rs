//! What a running API shows the world besides itself: the same three pages, on their own address.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

use super::RegistryAnswers;
use crate::cli::Failure;
use crate::config::Http;
use crate::engine::Dependency;
use crate::http::{Condition, Monitor, Readiness, Server};
use crate::runtime::Tasks;
use crate::schema::registry;
use crate::store::Requests;
use crate::telemetry::Metrics;

/// The table of requests, once the database answered.
pub(in crate::cli) type Database = Arc<OnceLock<Arc<dyn Requests>>>;

struct DatabaseAnswers(Database);

#[async_trait]
impl Condition for DatabaseAnswers {
    fn name(&self) -> &'static str {
        Dependency::DATABASE
    }

    async fn check(&self) -> Result<(), String> {
        let requests = self.0.get().ok_or("starting: waiting for the database")?;
        requests.ping().await.map_err(|error| error.to_string())
    }
}

/// Starts the pages. There is no poll loop to watch: an API is alive as long as its process answers.
pub(in crate::cli) async fn serve_api_pages(
    tasks: &mut Tasks,
    http: &Http,
    registry: registry::Client,
    database: &Database,
    metrics: Arc<Metrics>,
) -> Result<(), Failure> {
    let server = Server::bind(http.listen).await?;
    tracing::info!(address = %server.address(), "serving /health, /ready and /metrics");
    let readiness =
        Readiness::new(http.probe_timeout).with(RegistryAnswers(registry)).with(DatabaseAnswers(Arc::clone(database)));
    let monitor = Monitor::new(|| Duration::ZERO, http.liveness_timeout, readiness, metrics);
    tasks.spawn("the HTTP server", server.run(monitor.router(), tasks.stop()));
    Ok(())
}
