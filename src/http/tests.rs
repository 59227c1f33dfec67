//! Over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::kafka::Counts;
use crate::telemetry::Metrics;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), HttpError>>,
}

async fn start(beat_age: Arc<AtomicU64>, readiness: Readiness) -> Running {
    let metrics = Arc::new(Metrics::new("test", None).unwrap());
    metrics.set_counts(&Counts { polled: 3, ..Counts::default() });
    let age = move || Duration::from_secs(beat_age.load(Ordering::Relaxed));
    let router = Monitor::new(age, Duration::from_secs(30), readiness, metrics).router();
    let server = Server::bind("http.listen", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let (address, stop) = (server.address(), CancellationToken::new());
    let task = tokio::spawn(server.run(router, stop.clone()));
    Running { address, stop, task }
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn health_fails_when_the_poll_loop_stands_still() {
    let age = Arc::new(AtomicU64::new(1));
    let running = start(Arc::clone(&age), Readiness::new(Duration::from_secs(1))).await;
    assert_eq!(get(running.address, "/health").await.0, 200);
    age.store(31, Ordering::Relaxed);
    let (status, page) = get(running.address, "/health").await;
    assert_eq!((status, page.contains("\"alive\":false")), (503, true), "{page}");
}

/// Never answers.
struct Hangs;

#[async_trait]
impl Condition for Hangs {
    fn name(&self) -> &'static str {
        "hangs"
    }

    async fn check(&self) -> Result<(), String> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn ready_names_what_is_not() {
    let member = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&member);
    let group = Said::new("group", move || {
        if says.load(Ordering::Relaxed) { Ok(()) } else { Err("not a member of the group yet".to_owned()) }
    });
    let running = start(Arc::default(), Readiness::new(Duration::from_millis(50)).with(group)).await;
    let (status, page) = get(running.address, "/ready").await;
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(status, 503);
    assert_eq!(page, json!({"ready": false, "conditions": {"group": "not a member of the group yet"}}));
    member.store(true, Ordering::Relaxed);
    let (status, page) = get(running.address, "/ready").await;
    assert_eq!((status, page.as_str()), (200, r#"{"ready":true,"conditions":{"group":null}}"#));
}

#[tokio::test]
async fn a_dependency_that_hangs_refuses_or_fails_is_not_ready() {
    let readiness = Readiness::new(Duration::from_millis(500))
        .with(Hangs)
        .with(Said::new("up", || Ok(())))
        .with(Said::new("failing", || Err("it is closed".to_owned())));
    let report = readiness.report().await;
    assert!(!report.ready);
    assert_eq!(report.conditions["up"], None);
    assert_eq!(report.conditions["failing"].as_deref(), Some("it is closed"));
    assert_eq!(report.conditions["hangs"].as_deref(), Some("no answer within 500 ms"));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let running = start(Arc::default(), Readiness::new(Duration::from_secs(1))).await;
    let response = reqwest::get(format!("http://{}/metrics", running.address)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = response.text().await.unwrap();
    assert!(page.contains("# TYPE coafi_records_polled_total counter\ncoafi_records_polled_total 3\n"), "{page}");
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let running = start(Arc::default(), Readiness::new(Duration::from_secs(1))).await;
    let error = Server::bind("api.listen", running.address).await.unwrap_err().to_string();
    let expected = format!(
        "address {} is in use by another process; choose another one with api.listen or COAFI__API__LISTEN",
        running.address
    );
    assert_eq!(error, expected);
}

#[tokio::test]
async fn the_server_ends_when_told() {
    let running = start(Arc::default(), Readiness::new(Duration::from_secs(1))).await;
    assert_eq!(get(running.address, "/ready").await.0, 200);
    running.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running.task).await.expect("ends in time");
    ended.unwrap().unwrap();
    assert!(reqwest::get(format!("http://{}/health", running.address)).await.is_err());
}

#[tokio::test]
async fn a_caller_that_does_not_take_its_answer_keeps_nobody_out() {
    use tokio::io::AsyncWriteExt as _;
    // More than any system keeps for a socket.
    const ANSWER_BYTES: usize = 64 << 20;
    let router = axum::Router::new()
        .route("/long", axum::routing::get(|| async { vec![b'x'; ANSWER_BYTES] }))
        .route("/short", axum::routing::get(|| async { "y" }));
    let server = Server::bind("http.listen", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let (address, stop) = (server.address(), CancellationToken::new());
    let header_timeout = Duration::from_millis(500);
    let limits = ConnectionLimits { connections: 1, header_max_bytes: 8 << 10, header_timeout };
    let serving = tokio::spawn(server.run_within(router, limits, stop.clone()));
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), get(address, "/short")).await.expect("its turn comes");
    assert_eq!(answer, (200, "y".to_owned()));
    stop.cancel();
    serving.await.unwrap().unwrap();
}
