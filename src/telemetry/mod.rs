//! What the process says about itself: logs to stderr, metrics for Prometheus, traces and metrics by OTLP.
//!
//! Knows nothing of records and routes: the driver reports totals, and spans carry what they are given.
//! Nothing here is on the per-record path except spans, which cost nothing while no exporter and no debug log wants them.

#![allow(clippy::disallowed_methods, reason = "edge: exporters have threads and deadlines of their own")]

mod logging;
mod metrics;
mod otlp;
mod propagation;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;

pub use logging::{LogWriter, StderrWriter};
pub use metrics::{CircuitState, Gauges, Lag, Metrics, PartitionLag, RouteTimer, SourceProgress};
pub use otlp::{Exporters, OtlpError, Targets};
pub use propagation::TraceContext;

use crate::config::Log;

/// Logging, metrics and exporters of this process; one per process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    tracer: Option<SdkTracerProvider>,
}

/// What keeps telemetry from starting.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    #[error(
        "log filter {directives:?} is not understood: {message}; allowed: a level or directives such as info,coafi::kafka=debug"
    )]
    Filter { directives: String, message: String },
    #[error("metrics registry: {0}")]
    Metrics(String),
    #[error("logging was started twice")]
    AlreadyStarted,
}

impl Telemetry {
    /// Starts logging to `writer`, and OTLP export where `targets` names an endpoint.
    ///
    /// # Errors
    /// Directives or endpoints that make no sense, or a second start.
    pub fn start(log: &Log, service: &str, targets: &Targets, writer: LogWriter) -> Result<Self, TelemetryError> {
        let Exporters { tracer, metric_reader } = Exporters::start(targets, service)?;
        let metrics = Metrics::new(service, metric_reader)?;
        let spans = tracer.as_ref().map(|provider| provider.tracer("coafi"));
        logging::start(log, writer, spans)?;
        Ok(Self { metrics: Arc::new(metrics), tracer })
    }

    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Sends what is still buffered; blocks for a few seconds at most. To be called off the async threads.
    ///
    /// # Errors
    /// What could not be sent.
    pub fn shut_down(self) -> Result<(), OtlpError> {
        if let Some(tracer) = self.tracer {
            // What an export said is dropped by `shutdown`; only `force_flush` gives it back.
            tracer.force_flush().map_err(OtlpError::export)?;
            tracer.shutdown_with_timeout(otlp::SHUTDOWN_TIMEOUT).map_err(OtlpError::export)?;
        }
        self.metrics.shut_down().map_err(OtlpError::export)
    }
}
