//! Export to a collector that is a few lines of HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use opentelemetry::trace::{Tracer, TracerProvider};
use tokio::task::JoinHandle;

use super::*;
use crate::kafka::Counts;

type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

async fn collector() -> (String, Received, JoinHandle<()>) {
    let received = Received::default();
    let keep = |State(received): State<Received>, uri: Uri, body: Bytes| async move {
        received.lock().unwrap().push((uri.path().to_owned(), body.to_vec()));
    };
    let router = Router::new().fallback(keep).with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (base, received, task)
}

/// The wire format is protobuf, in which names stand as they are.
fn says(received: &Received, path: &str, text: &str) -> bool {
    let received = received.lock().unwrap();
    received.iter().any(|(p, body)| p == path && body.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_metrics_reach_the_collector() {
    let (base, received, task) = collector().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), base)].into();
    let targets = Targets::from_environment(&environment).unwrap();
    let sent = tokio::task::spawn_blocking(move || {
        let Exporters { tracer, metric_reader } = Exporters::start(&targets, "coafi-test").unwrap();
        let metrics = Metrics::new("coafi-test", metric_reader).unwrap();
        metrics.set_counts(&Counts { polled: 42, ..Counts::default() });
        tracer.as_ref().unwrap().tracer("test").in_span("publish-of-the-test", |_| {});
        Telemetry { metrics: Arc::new(metrics), tracer }.shut_down()
    });
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("ends in time").unwrap().unwrap();
    assert!(says(&received, "/v1/traces", "publish-of-the-test"));
    assert!(says(&received, "/v1/traces", "coafi-test"), "the service is named");
    assert!(says(&received, "/v1/metrics", "coafi_records_polled"));
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_an_error_at_the_end_and_not_before() {
    let closed = coafi_testcontainers::free_address().unwrap();
    let targets = Targets { traces: Some(format!("http://{closed}/v1/traces")), metrics: None };
    let sent = tokio::task::spawn_blocking(move || {
        let Exporters { tracer, .. } = Exporters::start(&targets, "coafi-test").unwrap();
        tracer.as_ref().unwrap().tracer("test").in_span("lost", |_| {});
        Telemetry { metrics: Arc::new(Metrics::new("t", None).unwrap()), tracer }.shut_down()
    });
    let ended = tokio::time::timeout(Duration::from_secs(30), sent).await.expect("ends in time").unwrap();
    assert!(ended.is_err(), "{ended:?}");
}
