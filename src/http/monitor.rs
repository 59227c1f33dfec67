//! The three pages and what they are made from.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::{Readiness, Report};
use crate::telemetry::Metrics;

/// Content type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages are made from.
#[derive(Clone)]
pub struct Monitor {
    since_beat: Arc<dyn Fn() -> Duration + Send + Sync>,
    liveness_timeout: Duration,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Monitor {
    /// `since_beat` says how long ago the poll loop came round.
    #[must_use]
    pub fn new(
        since_beat: impl Fn() -> Duration + Send + Sync + 'static,
        liveness_timeout: Duration,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { since_beat: Arc::new(since_beat), liveness_timeout, readiness, metrics }
    }

    /// The routes of the three pages; others can be merged with it.
    pub fn router(self) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn health(State(monitor): State<Monitor>) -> Response {
    let age = (monitor.since_beat)();
    let alive = age <= monitor.liveness_timeout;
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let page = json!({
        "alive": alive,
        "seconds_since_poll": age.as_secs_f64(),
        "limit_seconds": monitor.liveness_timeout.as_secs_f64(),
    });
    (status, Json(page)).into_response()
}

async fn ready(State(monitor): State<Monitor>) -> (StatusCode, Json<Report>) {
    let report = monitor.readiness.report().await;
    (if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

async fn metrics(State(monitor): State<Monitor>) -> Response {
    match monitor.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
