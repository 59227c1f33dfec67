//! The API in `coafi dev`, with everything else in the same process.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::{Made, RESULTS, made, update};
use crate::endpoints::server::Server;
use crate::http::{self, Answer};
use crate::notifications::receiver::{Received, Receiver};
use crate::process::{Process, found};
use crate::repositories::Repository;
use crate::world::World;

const SECRET: &str = "only the sender and the API know this";

/// `coafi dev` over a repository of one commit.
struct Dev {
    process: Process,
    /// `http://…`
    address: String,
    key: Made,
    world: World,
}

impl Dev {
    /// With more of `coafi.yaml` (the API's part first), and more files beside it.
    fn start(name: &str, configure: impl FnOnce(&World) -> String, files: &[(&str, &str)]) -> Self {
        let world = World::new(name);
        let repository = Repository::init(world.path("repository"));
        repository.commit_file("docs/a.md", "# A\n");
        let key = made(&world, "all", "api:*");
        // The world's directory declares topics of its own.
        let directory: PathBuf = world.path("dev");
        std::fs::create_dir(&directory).unwrap();
        let yaml = format!("api:\n  listen: 127.0.0.1:0\n  keys:\n{}{}", key.entry, configure(&world));
        std::fs::write(directory.join("coafi.yaml"), yaml).unwrap();
        files.iter().for_each(|(file, text)| std::fs::write(directory.join(file), text).unwrap());
        let mut command = world.command(&["dev", "--repo"]);
        command.current_dir(&directory).arg(&repository.path);
        // Its own, not the world's: everything is in the process.
        for name in ["TOPICS_DIR", "ROUTES_FILE", "DATABASE__URL", "KAFKA__GROUP_ID"] {
            command.env_remove(format!("COAFI__{name}"));
        }
        let mut process = Process::start(command);
        let address = found("where the API is", || {
            assert!(process.is_running(), "it ended: {}", process.log());
            let said = process.log();
            said.lines().find_map(|line| Some(line.split_once("The API is served on ")?.1.to_owned()))
        });
        Self { process, address, key, world }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [&[("X-API-Key", &*self.key.key)], headers].concat();
        let answer = http::ask(method, &format!("{}{path}", self.address), &headers, body);
        answer.unwrap_or_else(|| panic!("no answer; its log: {}", self.process.log()))
    }

    fn accepts(&self, path: &str, headers: &[(&str, &str)], body: &str) {
        let answer = self.ask("POST", path, headers, body);
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// What became of the first event of this type and source.
    fn outcome_of(&self, event_type: &str, source: &str) -> Value {
        found(&format!("an outcome of {event_type} of {source}"), || {
            let answer = self.ask("GET", &format!("/events?type={event_type}&source={source}&limit=500"), &[], "");
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()["events"].as_array().unwrap().first().cloned()
        })
    }

    fn end(self) {
        self.process.terminate();
        assert_eq!(self.process.ended().code(), Some(0));
    }
}

#[test]
fn a_request_is_handled_in_one_process() {
    let dev = Dev::start("api_dev", |_| String::new(), &[]);
    let headers = [("Content-Type", "application/json"), ("Prefer", "wait=30")];
    let body = update("wing-7", &json!({"status": "approved"})).to_string();
    let answer = dev.ask("POST", "/registry/update", &headers, &body);
    assert_eq!(answer.status, 200, "{RESULTS}: {answer:?}; {}", dev.process.log());
    assert_eq!(answer.json()["updateResult"]["change"], "created");
    dev.end();
}

/// A handler in another language has something to say to the caller, too.
#[test]
fn what_an_endpoint_answers_is_the_caller_s() {
    let server = Server::start(|call, _| {
        let (status, media, body) = match call.header("ce-id") {
            "unknown" => (404, "application/problem+json", json!({"detail": "there is no such part"})),
            // As of a server that knows nothing of us.
            "lost" => (404, "text/html", json!("not found")),
            _ => (200, "application/json", json!({"message": "scored", "score": 7})),
        };
        let status = StatusCode::from_u16(status).unwrap();
        Some((status, [("content-type", media)], body.to_string()).into_response())
    });
    let url = format!("http://127.0.0.1:{}/score", server.port());
    let configure = |_: &World| format!("endpoints: [{{name: scorer, url: '{url}', unsigned: true}}]\n");
    let shipped = std::fs::read_to_string(crate::world::repository().join("handler_routes.yaml")).unwrap();
    let own = "routes:\n  - {name: scores, match: {type: ai.part, topic: coafi.ai}, handler: 'http:scorer'}\n";
    let routes = format!("{own}{}", shipped.split_once("\nroutes:\n").unwrap().1);
    let dev = Dev::start("endpoint_dev", configure, &[("handler_routes.yaml", &routes)]);
    let headers = [("Content-Type", "application/cloudevents+json"), ("Prefer", "wait=30")];
    let ask = |id: &str| {
        let event = json!({"specversion": "1.0", "id": id, "source": "/lab", "type": "ai.part", "data": {}});
        dev.ask("POST", "/api/ingest/event", &headers, &event.to_string())
    };
    let scored = ask("wing-7");
    assert_eq!((scored.status, &scored.json()["score"]), (200, &json!(7)), "{scored:?}");
    let refused = ask("unknown");
    let problem = refused.json();
    assert_eq!((refused.status, &problem["type"]), (404, &json!("urn:coafi:problem:endpoint-refused")), "{refused:?}");
    // A dead letter's is 400 or 500.
    assert_eq!(problem["detail"], "there is no such part");
    let dead = ask("lost").json();
    assert_eq!((&dead["status"], &dead["type"]), (&json!(500), &json!("urn:coafi:problem:endpoint-refused")), "{dead}");
    dev.end();
}

/// Where routes name them, handlers of others; the shipped routes stand behind these.
const ROUTES: &str = "routes:
  - {name: orders, match: {type: api.request, source: /coafi/api/webhooks/orders, topic: coafi.api}, handler: log}
  - {name: broken, match: {type: ai.broken, topic: coafi.ai}, handler: drill}
";

#[test]
fn webhooks_domains_the_audit_log_schedules_and_notifications_are_in_it() {
    let told = Receiver::start();
    let configure = |world: &World| {
        let pem = world.path("aero.pem");
        let made = world.run(&["federated", "keygen", "aero-1", "--out", pem.to_str().unwrap(), "--output", "json"]);
        let public = made.json()["publicKey"].as_str().unwrap().to_owned();
        format!(
            "  webhooks: [{{name: orders, kind: hmac, secret_file: secret, header: X-Sign}}]
federated: {{domains: [{{name: aero, keys: [{{kid: aero-1, public_key: '{public}'}}]}}]}}
bitt: {{watch: [{{name: compliance, type: ['GAIA:COMPLIANCE:*']}}]}}
schedules: [{{name: health, every: 1s, type: HealthCheck}}]
notifications:
  channels: [{{name: ops, kind: webhook, url: 'http://{}/ops', secret_file: whsec}}]
  rules: [{{severity: critical, channels: [ops]}}]
  dead_letters: [{{types: [ai.broken], severity: critical}}]
",
            told.address
        )
    };
    let shipped = std::fs::read_to_string(crate::world::repository().join("handler_routes.yaml")).unwrap();
    let routes = format!("{ROUTES}{}", shipped.split_once("\nroutes:\n").unwrap().1);
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let dev =
        Dev::start("all_dev", configure, &[("secret", SECRET), ("whsec", whsec), ("handler_routes.yaml", &routes)]);

    let body = r#"{"orderId":"7","status":"paid"}"#;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    dev.accepts("/webhooks/orders", &[("X-Sign", &hex), ("Content-Type", "application/json")], body);
    assert_eq!(dev.outcome_of("api.request", "/coafi/api/webhooks/orders")["outcome"], "processed");

    let pem = dev.world.path("aero.pem");
    let sign = ["federated", "sign", "--key", pem.to_str().unwrap(), "--kid", "aero-1", "--domain", "aero"];
    let message = ["--type", "SystemUpdateNotification", "--id", "m-1", "--subject", "telemetry"];
    let data = ["--data", r#"{"system":"telemetry","version":"2.1.0","status":"operational"}"#];
    let envelope = dev.world.run(&[&sign[..], &message, &data].concat()).well();
    dev.accepts("/federated/aero", &[("Content-Type", "application/jwt")], envelope.trim());
    assert_eq!(dev.outcome_of("SystemUpdateNotification", "/coafi/federated/aero")["outcome"], "processed");

    let json = [("Content-Type", "application/cloudevents+json")];
    let event = |event_type: &str, id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/lab", "type": event_type, "utids": "GAIA:COMPLIANCE:7", "data": {}})
            .to_string()
    };
    dev.accepts("/api/ingest/event", &json, &event("ai.nobody.knows", "lost"));
    assert_eq!(dev.outcome_of("ai.nobody.knows", "/lab")["outcome"], "unprocessed");
    assert_eq!(dev.outcome_of("bitt.record", "/coafi/bitt/compliance")["outcome"], "processed");
    let finding = found("the finding", || {
        let entry =
            dev.ask("GET", "/registries/compliance-findings/entries/GAIA%3ACOMPLIANCE%3A7%23compliance", &[], "");
        (entry.status == 200).then(|| entry.json())
    });
    assert_eq!(finding["data"]["state"], "open", "{finding}");

    assert_eq!(dev.outcome_of("HealthCheck", "/coafi/schedules/health")["outcome"], "processed");

    dev.accepts("/api/ingest/event", &json, &event("ai.broken", "broken"));
    assert_eq!(dev.outcome_of("ai.broken", "/lab")["outcome"], "dead_lettered");
    // The dead letter itself, and the workflow that a critical finding starts.
    for title in ["Dead letters of route broken", "Escalation: GAIA:COMPLIANCE:7"] {
        let titled = |message: &Received| {
            let text = message.json()["data"]["notifications"][0]["title"].as_str().unwrap().to_owned();
            text.starts_with(title)
        };
        let message = found(title, || told.all().into_iter().find(titled));
        message.check_signature(whsec);
    }
    dev.end();
}
