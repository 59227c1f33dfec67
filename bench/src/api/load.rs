//! Callers: so many that ask as fast as they are answered, or at a fixed rate however fast that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Where events are sent.
#[derive(Clone)]
pub(crate) struct Target {
    client: reqwest::Client,
    url: String,
    key: String,
    secret: Arc<hmac::Key>,
    /// Ids go on from one load to the next.
    next: Arc<AtomicU64>,
    run: String,
}

/// What a request has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// So many CloudEvents.
    Events(u64),
    /// One delivery that is signed.
    Webhook,
}

/// How long each request took, the fastest first.
pub(crate) struct Answered {
    took: Vec<Duration>,
    per_request: u64,
    within: Duration,
    /// Requests that were answered with 503; they are in none of the figures.
    pub(crate) refused: u64,
}

impl Answered {
    pub(crate) fn new(mut took: Vec<Duration>, per_request: u64, within: Duration) -> anyhow::Result<Self> {
        anyhow::ensure!(!took.is_empty(), "nothing was answered");
        took.sort_unstable();
        Ok(Self { took, per_request, within, refused: 0 })
    }

    pub(crate) fn events(&self) -> u64 {
        self.took.len() as u64 * self.per_request
    }

    pub(crate) fn events_per_s(&self) -> f64 {
        self.events() as f64 / self.within.as_secs_f64()
    }

    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        self.took[(self.took.len() * percent / 100).min(self.took.len() - 1)].as_secs_f64() * 1e3
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.took.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.took.len() as f64
    }
}

/// The answer to a request that came when there were too many.
#[derive(Debug)]
struct TooMany(String);

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "503: {}", self.0)
    }
}

impl std::error::Error for TooMany {}

impl Target {
    /// `run`: part of the ids, which are of this target alone.
    pub(crate) fn new(url: String, key: String, secret: &[u8], run: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let secret = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { client, url, key, secret, next: Arc::new(AtomicU64::new(0)), run })
    }

    /// Sends one request and waits until it is accepted. Returns the ids of its events.
    pub(crate) async fn send(&self, kind: Kind) -> anyhow::Result<Vec<String>> {
        let (request, ids) = match kind {
            Kind::Events(count) => {
                let first = self.next.fetch_add(count, Ordering::Relaxed);
                let events: Vec<Value> = (first..first + count).map(|number| self.event(number)).collect();
                let ids = events.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect();
                let (body, media) = match events.as_slice() {
                    [one] => (one.to_string(), "application/cloudevents+json"),
                    all => (serde_json::to_string(all)?, "application/cloudevents-batch+json"),
                };
                let request = self.client.post(format!("{}/api/ingest/event", self.url));
                (request.header("x-api-key", &self.key).header("content-type", media).body(body), ids)
            }
            Kind::Webhook => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let body = json!({"orderId": format!("{}-{number}", self.run), "status": "paid"}).to_string();
                let tag = hmac::sign(&self.secret, body.as_bytes());
                let hex = tag.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
                let request = self.client.post(format!("{}/webhooks/orders", self.url));
                let request = request.header("x-signature", format!("sha256={hex}"));
                (request.header("content-type", "application/json").body(body), Vec::new())
            }
        };
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status == 503 {
            return Err(TooMany(text).into());
        }
        anyhow::ensure!(status == 202, "{status}: {text}");
        Ok(ids)
    }

    /// About 200 bytes, over 1,000 keys.
    fn event(&self, number: u64) -> Value {
        let run = &self.run;
        json!({
            "specversion": "1.0", "id": format!("{run}-{number}"), "source": "/bench", "type": "ai.run.started",
            "subject": format!("run/{}", number % 1_000), "data": {"runId": format!("{run}-{number}"), "stage": "draft"},
        })
    }
}

/// `connections` callers, each with one request at a time.
pub(crate) async fn closed(target: &Target, connections: usize, batch: u64, seconds: u64) -> anyhow::Result<Answered> {
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                target.send(Kind::Events(batch)).await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = callers.join_next().await {
        took.extend(caller??);
    }
    Answered::new(took, batch, start.elapsed())
}

/// Requests that are sent when they are due, however long earlier ones take; their time counts from when they were due.
pub(crate) async fn open(target: &Target, kind: Kind, per_s: u64, seconds: u64) -> anyhow::Result<Answered> {
    let start = Instant::now();
    let mut requests = JoinSet::new();
    for number in 0..per_s * seconds {
        let due = start + Duration::from_micros(number * 1_000_000 / per_s);
        tokio::time::sleep_until(due.into()).await;
        let target = target.clone();
        requests.spawn(async move { target.send(kind).await.map(|_| due.elapsed()) });
    }
    let (mut took, mut refused) = (Vec::new(), 0);
    while let Some(request) = requests.join_next().await {
        match request? {
            Ok(time) => took.push(time),
            Err(error) if error.is::<TooMany>() => refused += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(Answered { refused, ..Answered::new(took, 1, start.elapsed())? })
}
