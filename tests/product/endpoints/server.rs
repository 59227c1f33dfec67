//! A handler of somebody else: an HTTP server that answers as the test says, and keeps what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// One request that it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What it does: answers, or never does.
pub(crate) type Answer = Option<Response>;

/// Given a call, and how many there were before it of the same event.
type Answers = Arc<dyn Fn(&Call, usize) -> Answer + Send + Sync>;

#[derive(Default)]
struct Taken {
    calls: Vec<Call>,
    /// How many calls there were of an event, by its id: under load there are very many.
    of_event: HashMap<String, usize>,
}

impl Taken {
    /// How many there were before it of the same event.
    fn note(&mut self, call: &Call) -> usize {
        let known = self.of_event.entry(call.header("ce-id").to_owned()).or_default();
        let earlier = *known;
        *known += 1;
        self.calls.push(call.clone());
        earlier
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    answers: Answers,
    running: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(answers: impl Fn(&Call, usize) -> Answer + Send + Sync + 'static) -> Self {
        let address = coafi_testcontainers::free_address().unwrap();
        let mut server = Self { address, taken: Arc::default(), answers: Arc::new(answers), running: None };
        server.restart();
        server
    }

    /// At the same address.
    pub(crate) fn restart(&mut self) {
        let runtime = Runtime::new().unwrap();
        let listener = coafi_testcontainers::listen(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = {
            let _in_it = runtime.enter();
            TcpListener::from_std(listener).unwrap()
        };
        let (taken, answers) = (Arc::clone(&self.taken), Arc::clone(&self.answers));
        let answer = async move |method: Method, headers: HeaderMap, body: Bytes| {
            if method != Method::POST {
                return StatusCode::METHOD_NOT_ALLOWED.into_response();
            }
            let call = Call { headers, body, at: Instant::now() };
            let earlier = taken.lock().unwrap_or_else(PoisonError::into_inner).note(&call);
            match answers(&call, earlier) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        };
        let router = axum::Router::new().fallback(answer);
        runtime.spawn(async move { axum::serve(listener, router).await });
        self.running = Some(runtime);
    }

    /// Connections are refused from now on.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// Those about the event with this id, in order.
    pub(crate) fn calls_of(&self, id: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.header("ce-id") == id).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
