//! What the API is measured against: axum, JSON, and a producer that waits for every in-sync replica. No credential, no check,
//! no table of ids.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

#[derive(Clone)]
struct Bare {
    producer: FutureProducer,
    topic: String,
}

/// Serves until it is killed; prints its address.
pub(crate) fn serve(kafka: &str, topic: &str) -> anyhow::Result<()> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .create()?;
    let bare = Bare { producer, topic: topic.to_owned() };
    let app = Router::new().route("/api/ingest/event", post(publish)).with_state(bare);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })
}

async fn publish(State(bare): State<Bare>, body: String) -> Result<(StatusCode, Json<Value>), (StatusCode, String)> {
    let parsed: Value = serde_json::from_str(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let events = match parsed {
        Value::Array(events) => events,
        one => vec![one],
    };
    let sent = events.iter().map(|event| {
        let (key, value) = (event["subject"].as_str().unwrap_or_default().to_owned(), event.to_string());
        let Bare { producer, topic } = &bare;
        async move { producer.send(FutureRecord::to(topic).key(&key).payload(&value), Duration::from_secs(10)).await }
    });
    for sent in futures_util::future::join_all(sent).await {
        sent.map_err(|(error, _)| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    }
    Ok((StatusCode::ACCEPTED, Json(Value::Null)))
}
