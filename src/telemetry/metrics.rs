//! The process' metrics: OpenTelemetry instruments, read by Prometheus on `/metrics` and, where asked for, sent by OTLP.
//!
//! The hot path never touches an instrument: the driver hands over totals once per poll ([`Metrics::set_counts`]) and
//! gauges once per second, and callbacks read them when somebody scrapes.

mod routes;
mod sources;
mod state;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, MeterProvider as _};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use prometheus::{Encoder, TextEncoder};

use routes::Routes;
pub use sources::SourceProgress;
use sources::Sources;
use state::State;
pub use state::{CircuitState, Gauges, Lag, PartitionLag};

use super::TelemetryError;
use super::otlp::resource;
use crate::kafka::{Counts, Incidents};
use crate::runtime::unix_ms;

/// Upper bounds of the duration histograms' buckets, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Label combinations per metric. Lag has five per partition.
const MAX_SERIES: usize = 20_000;

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    state: Arc<State>,
    sources: Arc<Sources>,
    routes: Arc<Routes>,
    commit_duration: Histogram<f64>,
    handler_duration: Histogram<f64>,
    request_duration: Histogram<f64>,
    registry: prometheus::Registry,
    provider: SdkMeterProvider,
}

impl Metrics {
    /// # Errors
    /// Instruments that the registry refuses: a bug.
    pub fn new(service: &str, otlp: Option<PeriodicReader<MetricExporter>>) -> Result<Self, TelemetryError> {
        let registry = prometheus::Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
        let more_series = |_: &Instrument| Stream::builder().with_cardinality_limit(MAX_SERIES).build().ok();
        let mut provider =
            SdkMeterProvider::builder().with_resource(resource(service)).with_view(more_series).with_reader(prometheus);
        if let Some(reader) = otlp {
            provider = provider.with_reader(reader);
        }
        let provider = provider.build();
        let meter = provider.meter("coafi");
        let state = Arc::new(State::default());
        state::observe(&state, &meter);
        let sources = Arc::<Sources>::default();
        sources::observe(&sources, &meter);
        let routes = Arc::<Routes>::default();
        routes::observe(&routes, &meter);
        Ok(Self {
            commit_duration: durations(&meter, "coafi_commit_duration", "Time from a commit's start to its end"),
            handler_duration: durations(&meter, "coafi_handler_duration", "Time that one attempt of a route took"),
            request_duration: durations(
                &meter,
                "coafi_api_request_duration",
                "Time from a request's head to its answer",
            ),
            state,
            sources,
            routes,
            registry,
            provider,
        })
    }

    /// Sets the totals since the process started. Called once per poll; never lower than before.
    pub fn set_counts(&self, counts: &Counts) {
        self.state.set_counts(counts);
    }

    /// As [`Self::set_counts`].
    pub fn set_incidents(&self, incidents: Incidents) {
        self.state.set_incidents(incidents);
    }

    pub fn set_gauges(&self, gauges: Gauges) {
        self.state.set_gauges(gauges);
    }

    /// Replaces the lag of all assigned partitions; those that are not named any more disappear.
    pub fn set_lag(&self, partitions: Vec<PartitionLag>) {
        self.state.set_lag(partitions);
    }

    /// Replaces the progress of all sources that a connector watches.
    pub fn set_sources(&self, sources: Vec<SourceProgress>) {
        self.sources.set(sources);
    }

    /// These routes are in force from the start on.
    pub fn routes_in_force(&self, version: &str) {
        self.routes.in_force(version, now_s());
    }

    /// The routes file was read again: the version that is in force now, or `None` if it was refused.
    pub fn routes_reloaded(&self, version: Option<&str>) {
        self.routes.reloaded(version, now_s());
    }

    /// `dependency`: the name of an `engine::Dependency`.
    pub fn set_circuit(&self, dependency: &str, circuit: CircuitState) {
        self.state.set_circuit(dependency, circuit);
    }

    /// How long a commit took, successful or not.
    pub fn commit_took(&self, duration: Duration) {
        self.commit_duration.record(duration.as_secs_f64(), &[]);
    }

    /// How long the API took to answer a request. `endpoint` is a label: one of few, whatever the caller asked for.
    pub fn request_took(&self, endpoint: &str, method: &'static str, status: u16, duration: Duration) {
        let labels = [
            KeyValue::new("endpoint", endpoint.to_owned()),
            KeyValue::new("method", method),
            KeyValue::new("status", i64::from(status)),
        ];
        self.request_duration.record(duration.as_secs_f64(), &labels);
    }

    /// The clock of one route's handlers; made once, when routes are loaded.
    #[must_use]
    pub fn route_timer(&self, route: &str) -> RouteTimer {
        RouteTimer {
            histogram: self.handler_duration.clone(),
            attributes: Arc::new([KeyValue::new("route", route.to_owned())]),
        }
    }

    /// The Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// Values that the format cannot express: a bug.
    pub fn render(&self) -> Result<String, TelemetryError> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
        String::from_utf8(text).map_err(|error| TelemetryError::Metrics(error.to_string()))
    }

    pub(super) fn shut_down(&self) -> OTelSdkResult {
        self.provider.shutdown()
    }
}

/// Records how long a route's attempts take, about 100 ns each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RouteTimer {
    histogram: Histogram<f64>,
    attributes: Arc<[KeyValue; 1]>,
}

impl RouteTimer {
    pub fn took(&self, duration: Duration) {
        self.histogram.record(duration.as_secs_f64(), &*self.attributes);
    }
}

/// Seconds since the Unix epoch.
fn now_s() -> u64 {
    u64::try_from(unix_ms() / 1_000).unwrap_or(0)
}

fn durations(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(description)
        .with_boundaries(DURATION_BUCKETS.to_vec())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_what_was_set() {
        let metrics = Metrics::new("test", None).unwrap();
        metrics.set_counts(&Counts { polled: 7, processed: 5, dead_lettered: 1, aborts: 2, ..Counts::default() });
        metrics.set_incidents(Incidents { events_lost: 2, ..Incidents::default() });
        metrics.set_gauges(Gauges { in_flight: 3, buffered_bytes: 4_096, beyond_quota: 6, ..Gauges::default() });
        let lag = Lag { unfetched: 10, parked: 1, ..Lag::default() };
        metrics.set_lag(vec![PartitionLag {
            topic: "coafi.git".into(),
            partition: 2,
            lag,
            oldest: Some(Duration::from_millis(1_500)),
        }]);
        metrics.set_sources(vec![SourceProgress { source: "/r".into(), published: 4, backlog: 2, failing: true }]);
        metrics.set_circuit("database", CircuitState::Open);
        metrics.commit_took(Duration::from_millis(20));
        metrics.route_timer("git_commits").took(Duration::from_micros(300));
        metrics.request_took("/registry/update", "POST", 202, Duration::from_millis(3));
        metrics.routes_in_force("aa");
        metrics.routes_reloaded(Some("bb"));
        metrics.routes_reloaded(None);
        let page = metrics.render().unwrap();
        for line in [
            "coafi_records_polled_total 7",
            r#"coafi_outcomes_total{outcome="processed"} 5"#,
            r#"coafi_outcomes_total{outcome="dead_lettered"} 1"#,
            r#"coafi_transactions_total{result="aborted"} 2"#,
            r#"coafi_incidents_total{kind="events_lost"} 2"#,
            r#"coafi_incidents_total{kind="halted"} 0"#,
            "coafi_records_in_flight 3",
            r#"coafi_api_request_duration_seconds_count{endpoint="/registry/update",method="POST",status="202"} 1"#,
            "coafi_buffered_bytes 4096",
            "coafi_records_beyond_quota 6",
            r#"coafi_lag{partition="2",state="unfetched",topic="coafi.git"} 10"#,
            r#"coafi_lag{partition="2",state="parked",topic="coafi.git"} 1"#,
            r#"coafi_oldest_record_age_seconds{partition="2",topic="coafi.git"} 1.5"#,
            r#"coafi_circuit{dependency="database",state="open"} 1"#,
            r#"coafi_circuit{dependency="database",state="closed"} 0"#,
            r#"coafi_source_events_total{source="/r"} 4"#,
            r#"coafi_source_backlog{source="/r"} 2"#,
            r#"coafi_source_failing{source="/r"} 1"#,
            r#"coafi_routes{version="bb"} 1"#,
            "coafi_routes_reloads_total 1",
            "coafi_routes_reload_failures_total 1",
            "coafi_routes_last_reload_successful 0",
            "coafi_commit_duration_seconds_count 1",
            r#"coafi_handler_duration_seconds_bucket{route="git_commits",le="0.0005"} 1"#,
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
        metrics.set_lag(Vec::new());
        assert!(!metrics.render().unwrap().contains("coafi_lag{"), "a partition that was given up is gone");
    }
}
