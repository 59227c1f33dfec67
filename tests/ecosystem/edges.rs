//! What comes into the topics from elsewhere than git: a request of the HTTP API, which is answered, an event that is
//! ingested, a push that a webhook tells of, a schedule that fires.

use serde_json::{Value, json};

use crate::http;
use crate::process::{Process, eventually};
use crate::topic::{Positions, read};
use crate::world::World;

pub(crate) const REQUESTS: &str = "coafi.api";
pub(crate) const EVENTS: &str = "coafi.ai";
pub(crate) const REPLIES: &str = "coafi.results";
pub(crate) const FIRES: &str = "coafi.schedule";
pub(crate) const LEDGER: &str = "coafi.schedule.ledger";
pub(crate) const NOTIFICATIONS: &str = "coafi.notifications";
pub(crate) const WAKES: &str = "coafi.connect.wakes";
pub(crate) const FEDERATED: &str = "coafi.federated";
pub(crate) const WATCHED: &str = "coafi.bitt";

/// Outcomes that come of it: the request's.
pub(crate) const ENDS: usize = 1;

const ROUTE: &str = "  - name: api-requests
    match: {type: api.request, topic: coafi.api}
    handler: api_request
    dependencies: [database, schema-registry]
";
const TOKEN: &str = "only the sender and the API know this";
const PUSH: &str = include_str!("../payloads/gitlab_push.json");

/// Everything but the reply, which whoever consumes the topics from now on makes.
pub(crate) fn happen(world: &World) {
    [REQUESTS, REPLIES, EVENTS, FIRES, LEDGER, WAKES, FEDERATED, WATCHED]
        .iter()
        .for_each(|topic| world.also_declare(topic));
    world.change_routes(|routes| routes + ROUTE);
    let said = world.run(&["api", "key", "others", "--permission", "api:*"]).well();
    let key = said.lines().find_map(|line| line.strip_prefix("key: ")).expect("a key");
    let (_, entry) = said.split_once("coafi.yaml:\n").expect("an entry to write down");
    let entry: String = entry.lines().map(|line| format!("  {line}\n")).collect();
    let (key_file, mirror) = (world.path("aero.pem").display().to_string(), world.path("mirror"));
    let made = world.run(&["federated", "keygen", "aero-1", "--out", &key_file, "--output", "json"]).json();
    let public = made["publicKey"].as_str().unwrap();
    let mirror = mirror.display();
    let yaml = format!(
        "schedules: [{{name: tick, every: 1s}}]\n\
         bitt: {{watch: [{{name: ends, type: [EVENT_PROCESSED]}}], start: earliest}}\n\
         federated: {{domains: [{{name: aero, keys: [{{kid: aero-1, public_key: {public}}}]}}]}}\n\
         git: {{repositories: [{mirror}]}}\n\
         api:\n  listen: 127.0.0.1:0\n  webhooks: [{{name: gitlab, kind: gitlab, repository: {mirror}}}]\n  keys:\n{entry}"
    );
    std::fs::write(world.path("edges.yaml"), yaml).unwrap();
    ask(world, key);
    fire(world);
    world.run(&["notify", "send", "--title", "Everything has happened"]).well();
}

fn start(world: &World, args: &[&str]) -> Process {
    let mut command = world.command(args);
    command.arg("--config").arg(world.path("edges.yaml")).env("COAFI__API__WEBHOOK_SECRETS__GITLAB", TOKEN);
    Process::start(command)
}

pub(crate) fn ingested() -> Value {
    json!({
        "specversion": "1.0", "id": "run-7", "source": "/others/ai", "type": "ai.run.started", "subject": "run/7",
        "data": {"run_id": "7"},
    })
}

/// For a change of a registry's entry; with an event; as GitLab tells of a push; and as another domain.
fn ask(world: &World, key: &str) {
    let api = start(world, &["api"]);
    let url = |path: &str| format!("http://{}{path}", api.served("serving the API"));
    let update = json!({"registryId": "parts", "entryId": "bolt", "data": {"size": 8}}).to_string();
    let (json, event) = ("application/json", "application/cloudevents+json");
    let key_file = world.path("aero.pem").display().to_string();
    let message = r#"{"system": "telemetry", "version": "2.1.0"}"#;
    let sign = ["federated", "sign", "--key", &key_file, "--kid", "aero-1", "--domain", "aero", "--data", message];
    let signed = world.run(&[&sign[..], &["--id", "m-1", "--type", "SystemUpdateNotification"]].concat()).well();
    let (key, push) = (("X-API-Key", key), [("X-Gitlab-Token", TOKEN), ("X-Gitlab-Event", "Push Hook")]);
    for (path, media, headers, body) in [
        ("/registry/update", json, &[key][..], &*update),
        ("/api/ingest/event", event, &[key], &ingested().to_string()),
        ("/webhooks/gitlab", json, &push, PUSH),
        ("/federated/aero", "application/jwt", &[], signed.trim()),
    ] {
        let headers = [&[("Content-Type", media)], headers].concat();
        let answer = http::ask("POST", &url(path), &headers, body).unwrap();
        assert_eq!(answer.status, 202, "{path}: {answer:?}");
    }
    api.terminate();
    assert_eq!(api.ended().code(), Some(0));
}

fn fire(world: &World) {
    let connector = start(world, &["connect", "schedule"]);
    eventually("the schedule fires", || !read(&world.stack.kafka, FIRES, &Positions::new()).is_empty());
    connector.terminate();
    assert_eq!(connector.ended().code(), Some(0));
}

/// What was processed is watched for.
pub(crate) fn watch(world: &World) {
    let connector = start(world, &["connect", "bitt"]);
    eventually("the watch finds something", || !read(&world.stack.kafka, WATCHED, &Positions::new()).is_empty());
    connector.terminate();
    assert_eq!(connector.ended().code(), Some(0));
}
