//! The HTTP API, asked as anybody would ask it.

mod accepting;
mod embedded;
mod federated;
mod handling;
mod ingesting;
mod outcomes;
mod registries;
mod webhooks;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::event::Subject;
use crate::http::{self, Answer};
use crate::process::{Process, eventually, found};
use crate::topic::{Positions, Read, ends, read};
use crate::world::World;

const TOPIC: &str = "coafi.api";
const EVENTS: &str = "coafi.ai";
const RESULTS: &str = "coafi.results";
const REPLY: &str = "org.coafi.events.ApiReplyEventPayload";
const REQUEST: &str = "org.coafi.events.ApiRequestEventPayload";

/// More patient with nobody than the shipped one.
const ROUTE: &str = "  - name: api-requests
    match: {type: api.request, topic: coafi.api}
    handler: api_request
    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [5s]}
    dependencies: [database, schema-registry]
";

/// An API with a world behind it. Requests all go to one topic, which those of the others are in too: one at a time.
struct Api {
    world: World,
    process: Process,
    /// May do everything.
    key: String,
    /// May start workflows.
    limited: String,
    requests: Subject,
    replies: Subject,
    start: Positions,
    results: Positions,
    _turn: MutexGuard<'static, ()>,
}

impl Api {
    fn start(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// With these environment variables.
    fn with(name: &str, variables: &[(&str, &str)]) -> Self {
        Self::configured(name, "", &[], variables)
    }

    /// With more lines in its configuration, which begin within `api`, and more of the repository's topics.
    fn configured(name: &str, yaml: &str, topics: &[&str], variables: &[(&str, &str)]) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let world = World::new(name);
        for topic in [TOPIC, RESULTS, EVENTS].iter().chain(topics) {
            world.also_declare(topic);
        }
        world.change_routes(|routes| routes + ROUTE);
        let (key, limited) = (made(&world, "all", "api:*"), made(&world, "limited", "api:workflow/start:POST"));
        let text = format!("api:\n  listen: 127.0.0.1:0\n  keys:\n{}{}{yaml}", key.entry, limited.entry);
        std::fs::write(world.path("api.yaml"), text).unwrap();
        let mut command = serving(&world);
        command.envs(variables.iter().copied());
        let process = Process::start(command);
        process.served("serving the API");
        Self {
            key: key.key,
            limited: limited.key,
            requests: Subject::latest(&world.stack.registry, TOPIC, REQUEST),
            replies: Subject::latest(&world.stack.registry, RESULTS, REPLY),
            results: ends(&world.stack.kafka, RESULTS),
            start: ends(&world.stack.kafka, TOPIC),
            process,
            world,
            _turn: turn,
        }
    }

    /// Another process in its place.
    fn restart(&mut self) {
        self.process.terminate();
        eventually("it ends", || !self.process.is_running());
        self.process = Process::start(serving(&self.world));
        self.process.served("serving the API");
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.served("serving the API"))
    }

    /// With the key that may do everything.
    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("X-API-Key", &self.key)], &body.to_string())
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let all = [&[("Content-Type", "application/json")], headers].concat();
        http::ask(method, &self.url(path), &all, body)
            .unwrap_or_else(|| panic!("{path}: no answer; its log: {}", self.process.log()))
    }

    /// A replica that handles what comes from now on: the topic has requests of other tests.
    fn replica(&self) -> Process {
        self.replica_from("latest")
    }

    fn replica_from(&self, start: &str) -> Process {
        let mut command = self.world.command(&["consume"]);
        command.env("COAFI__KAFKA__START", start);
        let mut replica = Process::start(command);
        replica.until_ready();
        replica
    }

    /// The reply to a request, once it is committed.
    fn reply(&self, id: &str) -> Value {
        found("the reply", || self.replies_to(id).pop())
    }

    fn replies_to(&self, id: &str) -> Vec<Value> {
        let all = read(&self.world.stack.kafka, RESULTS, &self.results).into_iter();
        let about = all.filter(|read| read.record.key.as_deref() == Some(id.as_bytes()));
        about.map(|read| self.replies.decode(read.record.value.as_deref().unwrap())).collect()
    }

    /// What it has published.
    fn published(&self) -> Vec<Read> {
        read(&self.world.stack.kafka, TOPIC, &self.start)
    }
}

fn serving(world: &World) -> Command {
    let mut command = world.command(&["api", "--config"]);
    command.arg(world.path("api.yaml"));
    command
}

struct Made {
    key: String,
    /// What is to be written under `api.keys`.
    entry: String,
}

/// As somebody would who reads what the command says.
fn made(world: &World, name: &str, permission: &str) -> Made {
    let said = world.run(&["api", "key", name, "--permission", permission]).well();
    let key = said.lines().find_map(|line| line.strip_prefix("key: ")).expect("a key").to_owned();
    let (_, entry) = said.split_once("coafi.yaml:\n").expect("an entry to write down");
    Made { key, entry: entry.lines().map(|line| format!("  {line}\n")).collect() }
}

fn update(entry: &str, data: &Value) -> Value {
    json!({"registryId": "parts", "entryId": entry, "data": data})
}

/// The id of a request that was accepted.
fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["requestId"].as_str().expect("an id").to_owned()
}

/// A problem document with this status.
fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let document = answer.json();
    assert_eq!((&document["status"], &document["type"]), (&status.into(), &format!("urn:coafi:problem:{code}").into()));
    document
}
