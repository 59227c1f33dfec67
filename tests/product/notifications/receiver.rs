//! A server that is told: keeps every request, answers as it is told to, goes away and comes back at the same address.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::process::found;

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) path: String,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Debug, Default)]
struct Kept {
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<u16>>,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    kept: Arc<Kept>,
    runtime: Runtime,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut receiver = Self {
            address: coafi_testcontainers::free_address().unwrap(),
            kept: Arc::default(),
            runtime,
            serving: None,
        };
        receiver.resume();
        receiver
    }

    /// Nobody listens any more.
    pub(crate) fn stop(&mut self) {
        let serving = self.serving.take().expect("it runs");
        serving.abort();
        // Whether it had ended is of no interest; that the port is free is.
        let _ = self.runtime.block_on(serving);
    }

    pub(crate) fn resume(&mut self) {
        let app = Router::new().fallback(receive).with_state(Arc::clone(&self.kept));
        let listener = coafi_testcontainers::listen(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _in_it = self.runtime.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        self.serving = Some(self.runtime.spawn(async move { axum::serve(listener, app).await.unwrap() }));
    }

    /// The next requests are answered so, later ones with 200.
    pub(crate) fn answer_next(&self, statuses: &[u16]) {
        self.kept.answers.lock().unwrap().extend(statuses);
    }

    /// What was posted.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.kept.received.lock().unwrap().clone()
    }

    pub(crate) fn until(&self, count: usize) -> Vec<Received> {
        found("messages", || Some(self.all()).filter(|all| all.len() >= count))
    }
}

async fn receive(
    State(kept): State<Arc<Kept>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    // A probe asks whether anybody is there.
    if method != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "");
    }
    kept.received.lock().unwrap().push(Received { at: Instant::now(), path: uri.path().to_owned(), headers, body });
    let status = kept.answers.lock().unwrap().pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), "ok")
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// As Standard Webhooks has it: `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`.
    pub(crate) fn check_signature(&self, secret: &str) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &self.body].concat();
        let signature = self.header("webhook-signature").strip_prefix("v1,").unwrap();
        hmac::verify(&key, &content, &BASE64.decode(signature).unwrap()).expect("it is signed");
    }
}
