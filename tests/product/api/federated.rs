//! What other domains push, with the envelopes that our own command line signs.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Api, problem};
use crate::federated::TOPIC;
use crate::http::{self, Answer};
use crate::process::{Process, found};
use crate::stack::{Stack, unique};
use crate::topic::{Positions, Read, ends, read};
use crate::world::coafi;

struct Domain {
    api: Api,
    name: String,
    keys: TempDir,
    start: Positions,
}

fn path(keys: &TempDir, kid: &str) -> String {
    keys.path().join(format!("{kid}.pem")).display().to_string()
}

fn made(keys: &TempDir, kid: &str) -> String {
    let mut command = coafi(&Stack::shared(), keys.path());
    command.args(["federated", "keygen", kid, "--out", &path(keys, kid), "--output", "json"]);
    Process::start(command).ended().json()["publicKey"].as_str().unwrap().to_owned()
}

impl Domain {
    /// With keys `old`, which is not valid any more, `current` and `next`.
    fn start(name: &str) -> Self {
        let (keys, domain) = (tempfile::tempdir().unwrap(), unique(name).to_ascii_lowercase());
        let [old, current, next, _] = ["old", "current", "next", "stolen"].map(|kid| made(&keys, kid));
        let yaml = format!(
            "federated:\n  leeway: 0s\n  domains:\n  - name: {domain}\n    keys:\n\
             \x20   - {{kid: old, public_key: {old}, not_after: 2026-01-01T00:00:00Z}}\n\
             \x20   - {{kid: current, public_key: {current}}}\n    - {{kid: next, public_key: {next}}}\n"
        );
        let api = Api::configured(name, &yaml, &[TOPIC], &[]);
        let start = ends(&api.world.stack.kafka, TOPIC);
        Self { api, name: domain, keys, start }
    }

    fn sign(&self, kid: &str, file: &str, id: &str, data: &Value, lifetime: &str) -> String {
        let (key, data) = (path(&self.keys, file), data.to_string());
        let mut command = coafi(&self.api.world.stack, Path::new(self.keys.path()));
        command.args(["federated", "sign", "--key", &key, "--kid", kid, "--domain", &self.name, "--id", id]);
        command.args(["--type", "SystemUpdateNotification", "--subject", "telemetry", "--lifetime", lifetime]);
        Process::start(command_with(command, &data)).ended().well().trim().to_owned()
    }

    fn push(&self, envelope: &str) -> Answer {
        self.push_as(&self.name, "application/jwt", envelope)
    }

    fn push_as(&self, domain: &str, media: &str, envelope: &str) -> Answer {
        let url = self.api.url(&format!("/federated/{domain}"));
        let answer = http::ask("POST", &url, &[("Content-Type", media)], envelope);
        answer.unwrap_or_else(|| panic!("no answer; its log: {}", self.api.process.log()))
    }

    fn events(&self) -> Vec<Read> {
        let source = format!("/coafi/federated/{}", self.name);
        let all = read(&self.api.world.stack.kafka, TOPIC, &self.start).into_iter();
        all.filter(|read| read.record.header("ce_source") == Some(&source)).collect()
    }

    fn system(&self, name: &str, version: &str) -> bool {
        let query = format!(
            "SELECT count(*) FROM registry_entry WHERE registry = 'federated-systems' AND entry = '{}/{name}' \
             AND data LIKE '%\"version\":\"{version}\"%'",
            self.name
        );
        self.api.world.database.number(&query) == 1
    }
}

fn command_with(mut command: std::process::Command, data: &str) -> std::process::Command {
    command.args(["--data", data]);
    command
}

fn taken(answer: &Answer, duplicate: bool) {
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["duplicate"], duplicate, "{answer:?}");
}

#[test]
fn an_envelope_is_taken_once_and_every_other_is_refused() {
    let domain = Domain::start("pushed");
    let data = json!({"system": "telemetry", "version": "1"});
    let envelope = domain.sign("current", "current", "m-1", &data, "1m");
    taken(&domain.push(&envelope), false);
    taken(&domain.push(&envelope), true);
    taken(&domain.push_as(&domain.name, "application/jose", &format!("{envelope}\n")), true);
    let other = domain.sign("current", "current", "m-1", &json!({"system": "brakes"}), "1m");
    problem(&domain.push(&other), 409, "id-conflict");
    // While one key replaces another both are valid, each in its time.
    taken(&domain.push(&domain.sign("next", "next", "m-2", &data, "1m")), false);
    let refused = |envelope: &str, status: u16, code: &str, why: &str| {
        let said = problem(&domain.push(envelope), status, code);
        assert!(said["detail"].as_str().unwrap().starts_with(why), "{said}");
    };
    let sign = |kid: &str, file: &str| domain.sign(kid, file, "m-3", &data, "1m");
    refused(&sign("old", "old"), 401, "envelope-refused", "key_not_valid");
    refused(&sign("current", "stolen"), 401, "envelope-refused", "bad_signature");
    refused(&sign("stolen", "stolen"), 401, "envelope-refused", "unknown_key");
    refused(&domain.sign("current", "current", "m-3", &data, "6m"), 401, "envelope-refused", "lifetime_too_long");
    refused("{}", 400, "invalid-envelope", "malformed");
    // What is valid is a duplicate, until it is not valid any more.
    let short = domain.sign("current", "current", "m-4", &data, "2s");
    taken(&domain.push(&short), false);
    let expired = found("it expires", || Some(domain.push(&short)).filter(|answer| answer.status != 202));
    assert!(problem(&expired, 401, "envelope-refused")["detail"].as_str().unwrap().starts_with("expired"));
    problem(&domain.push_as("nobody", "application/jwt", &envelope), 404, "no-such-domain");
    problem(&domain.push_as(&domain.name, "application/json", &envelope), 415, "unsupported-media-type");
    problem(&domain.push(&"x".repeat(300 << 10)), 413, "body-too-large");
    let ids: Vec<_> = domain.events().iter().map(|read| read.record.header("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids, ["m-1", "m-2", "m-4"], "what was refused is nowhere");
}

#[test]
fn what_is_done_depends_on_content_and_domain() {
    let domain = Domain::start("acted");
    let route = format!(
        "  - name: telemetry\n    match: {{type: SystemUpdateNotification, source: /coafi/federated/{}, topic: {TOPIC}}}\n    \
         filter: json(data.payload).system == 'telemetry'\n    handler: system_update\n    \
         dependencies: [database, schema-registry]\n",
        domain.name
    );
    domain.api.world.change_routes(|routes| routes + &route);
    let replica = domain.api.replica();
    let push = |id: &str, system: &str, version: &str| {
        let data = json!({"system": system, "version": version});
        taken(&domain.push(&domain.sign("current", "current", id, &data, "1m")), false);
    };
    push("m-1", "brakes", "7");
    push("m-2", "telemetry", "1");
    push("m-3", "telemetry", "2");
    found("the system is known", || domain.system("telemetry", "2").then_some(()));
    assert!(!domain.system("brakes", "7"), "its content is for another route, of which there is none");
    let outcomes = found("three outcomes", || {
        let outcomes = domain.api.world.outcomes();
        let ours: Vec<_> = outcomes.into_iter().filter(|outcome| outcome.topic == TOPIC).collect();
        let of =
            |id: &str| ours.iter().find(|outcome| outcome.event_id.as_deref() == Some(id)).map(|o| o.outcome.clone());
        Some([of("m-1")?, of("m-2")?, of("m-3")?])
    });
    assert_eq!(outcomes, ["filtered", "processed", "processed"]);
    replica.terminate();
    replica.ended().well();
}
