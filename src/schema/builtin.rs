//! The schema registry of `coafi dev`: the read and register calls of Confluent's REST API over the files of `avro/`, on
//! a loopback port, gone at exit.
//!
//! A schema's id is a hash of its canonical form, so that it is the same in every run.

#![allow(clippy::disallowed_methods, reason = "edge: a server task, which its handle owns and stops")]

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apache_avro::Schema;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::compatibility::breaks;
use super::register::Entry;

const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_SUBJECTS: usize = 1_000;
const MAX_VERSIONS: usize = 100;

/// A running registry. Stops when it is told to or dropped.
#[derive(Debug)]
pub struct BuiltinRegistry {
    url: String,
    stop: CancellationToken,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl BuiltinRegistry {
    /// Serves `entries` on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(entries: &[Entry]) -> io::Result<Self> {
        let mut store = Store::default();
        for Entry { subject, file } in entries {
            store.register(subject, file.text()).map_err(|refusal| io::Error::other(refusal.message))?;
        }
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let server = axum::serve(listener, router(Arc::new(Mutex::new(store))))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        Ok(Self { url, stop, server: Some(tokio::spawn(async move { server.await })) })
    }

    /// Base URL for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers open requests, then ends.
    ///
    /// # Errors
    /// The server failed before.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.cancel();
        match self.server.take() {
            Some(server) => server.await.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

impl Drop for BuiltinRegistry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Default)]
struct Store {
    schemas: BTreeMap<u32, String>,
    /// Ids of a subject's versions; version 1 is the first.
    subjects: BTreeMap<String, Vec<u32>>,
}

/// An answer other than 200, with Confluent's error codes.
struct Refusal {
    code: u32,
    message: String,
}

impl Refusal {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { code, message } = self;
        let status = u16::try_from(if code > 999 { code / 100 } else { code }).unwrap_or(500);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, answer(&json!({"error_code": code, "message": message}))).into_response()
    }
}

impl Store {
    fn register(&mut self, subject: &str, text: &str) -> Result<u32, Refusal> {
        let schema = parse(text)?;
        if let Some(id) = self.find(subject, &schema) {
            return Ok(id);
        }
        let problems = self.problems(subject, &schema);
        if !problems.is_empty() {
            return Err(Refusal::new(409, problems.join("; ")));
        }
        if self.subjects.len() >= MAX_SUBJECTS || self.subjects.get(subject).is_some_and(|v| v.len() >= MAX_VERSIONS) {
            return Err(Refusal::new(
                422,
                format!("this registry holds {MAX_SUBJECTS} subjects of {MAX_VERSIONS} versions"),
            ));
        }
        let id = self.id(&schema.canonical_form(), text);
        self.subjects.entry(subject.to_owned()).or_default().push(id);
        Ok(id)
    }

    /// The id of the text: that of its canonical form, or the next free one where another text has that.
    fn id(&mut self, canonical: &str, text: &str) -> u32 {
        // Positive as an int32, which Java clients read.
        let mut id = (xxh3_64(canonical.as_bytes()) as u32 & 0x7fff_ffff).max(1);
        while self.schemas.get(&id).is_some_and(|known| known != text) {
            id = id % 0x7fff_ffff + 1;
        }
        self.schemas.entry(id).or_insert_with(|| text.to_owned());
        id
    }

    fn versions(&self, subject: &str) -> Result<&[u32], Refusal> {
        let none = || Refusal::new(40_401, format!("Subject '{subject}' not found."));
        self.subjects.get(subject).map(Vec::as_slice).ok_or_else(none)
    }

    fn find(&self, subject: &str, schema: &Schema) -> Option<u32> {
        let wanted = serde_json::to_value(schema).ok()?;
        let same = |id: &&u32| {
            let known = Schema::parse_str(&self.schemas[*id]).ok().and_then(|known| serde_json::to_value(known).ok());
            known.as_ref() == Some(&wanted)
        };
        self.subjects.get(subject)?.iter().find(same).copied()
    }

    fn problems(&self, subject: &str, schema: &Schema) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, id) in self.subjects.get(subject).into_iter().flatten().enumerate() {
            let Ok(old) = Schema::parse_str(&self.schemas[id]) else { continue };
            problems.extend(breaks(&old, schema).iter().map(|b| format!("version {}: {b}", index + 1)));
        }
        problems
    }

    fn version(&self, subject: &str, version: &str) -> Result<Value, Refusal> {
        let versions = self.versions(subject)?;
        let number = match version {
            "latest" | "-1" => versions.len(),
            number => number.parse().map_err(|_| Refusal::new(42_202, format!("Invalid version '{number}'.")))?,
        };
        let id = number.checked_sub(1).and_then(|index| versions.get(index));
        let id = id.ok_or_else(|| Refusal::new(40_402, format!("Version {version} not found.")))?;
        Ok(json!({"subject": subject, "version": number, "id": id, "schema": self.schemas[id]}))
    }
}

type Shared = State<Arc<Mutex<Store>>>;

fn router(store: Arc<Mutex<Store>>) -> Router {
    let level = || async { answer(&json!({"compatibilityLevel": super::registry::BACKWARD_TRANSITIVE})) };
    Router::new()
        .route("/", get(|| async { answer(&json!({})) }))
        .route("/schemas/types", get(|| async { answer(&json!(["AVRO"])) }))
        .route("/schemas/ids/{id}", get(schema))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/compatibility/subjects/{subject}/versions", post(compatible))
        .route("/config", get(level))
        .route("/config/{subject}", put(set_level).get(level))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(store)
}

fn lock(store: &Arc<Mutex<Store>>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn schema(State(store): Shared, Path(id): Path<u32>) -> Result<Response, Refusal> {
    match lock(&store).schemas.get(&id) {
        Some(schema) => Ok(answer(&json!({"schema": schema}))),
        None => Err(Refusal::new(40_403, format!("Schema {id} not found"))),
    }
}

async fn subjects(State(store): Shared) -> Response {
    answer(&json!(lock(&store).subjects.keys().collect::<Vec<_>>()))
}

async fn versions(State(store): Shared, Path(subject): Path<String>) -> Result<Response, Refusal> {
    Ok(answer(&json!((1..=lock(&store).versions(&subject)?.len()).collect::<Vec<_>>())))
}

async fn version(State(store): Shared, Path((subject, version)): Path<(String, String)>) -> Result<Response, Refusal> {
    Ok(answer(&lock(&store).version(&subject, &version)?))
}

async fn register(State(store): Shared, Path(subject): Path<String>, body: String) -> Result<Response, Refusal> {
    let id = lock(&store).register(&subject, &posted(&body)?)?;
    Ok(answer(&json!({"id": id})))
}

async fn lookup(State(store): Shared, Path(subject): Path<String>, body: String) -> Result<Response, Refusal> {
    let (store, text) = (lock(&store), posted(&body)?);
    let versions = store.versions(&subject)?;
    let found = store.find(&subject, &parse(&text)?);
    let id = found.ok_or_else(|| Refusal::new(40_403, "Schema not found"))?;
    let version = versions.iter().position(|known| *known == id).map_or(0, |index| index + 1);
    Ok(answer(&json!({"subject": subject, "version": version, "id": id, "schema": store.schemas[&id]})))
}

async fn compatible(State(store): Shared, Path(subject): Path<String>, body: String) -> Result<Response, Refusal> {
    let store = lock(&store);
    store.versions(&subject)?;
    let problems = store.problems(&subject, &parse(&posted(&body)?)?);
    Ok(answer(&json!({"is_compatible": problems.is_empty(), "messages": problems})))
}

/// One level is served: any other is refused rather than ignored.
async fn set_level(body: String) -> Result<Response, Refusal> {
    let level = super::registry::BACKWARD_TRANSITIVE;
    let wanted: Value = serde_json::from_str(&body).map_err(|e| Refusal::new(422, e.to_string()))?;
    if wanted["compatibility"] == level {
        return Ok(answer(&json!({"compatibility": level})));
    }
    Err(Refusal::new(42_203, format!("Invalid compatibility level; allowed here: {level}")))
}

fn posted(body: &str) -> Result<String, Refusal> {
    let body: Value = serde_json::from_str(body).map_err(|e| Refusal::new(422, e.to_string()))?;
    match (&body["schema"], &body["schemaType"]) {
        (Value::String(schema), Value::Null) => Ok(schema.clone()),
        (Value::String(schema), kind) if kind == "AVRO" => Ok(schema.clone()),
        (Value::String(_), kind) => Err(Refusal::new(422, format!("schemaType {kind}; allowed here: AVRO"))),
        _ => Err(Refusal::new(42_201, "member \"schema\" is missing")),
    }
}

fn parse(text: &str) -> Result<Schema, Refusal> {
    Schema::parse_str(text).map_err(|e| Refusal::new(42_201, format!("Invalid schema: {e}")))
}

fn answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.schemaregistry.v1+json")], body.to_string()).into_response()
}
