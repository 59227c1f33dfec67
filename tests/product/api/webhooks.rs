//! Webhooks, posted as their senders post them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Api, problem};
use crate::http::Answer;
use crate::process::{Process, eventually, found};
use crate::repositories::Repository;
use crate::topic::{Positions, ends, read};
use crate::world::{GIT_TOPIC, repository};

const WAKES: &str = "coafi.connect.wakes";
const SECRET: &str = "only the sender and the API know this";
const PUSH: &str = include_str!("../../payloads/github_push_branch.json");
const ISSUES: &str = include_str!("../../payloads/github_issues.json");
const PING: &str = include_str!("../../payloads/github_ping.json");
const GITLAB_PUSH: &str = include_str!("../../payloads/gitlab_push.json");

fn sign(secret: &[u8], content: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), content).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// As GitHub would deliver it.
fn github(api: &Api, event: &str, delivery: &str, body: &str) -> Answer {
    let signature = format!("sha256={}", hex(&sign(SECRET.as_bytes(), body.as_bytes())));
    let headers = [("X-Hub-Signature-256", &*signature), ("X-GitHub-Event", event), ("X-GitHub-Delivery", delivery)];
    api.ask("POST", "/webhooks/github", &headers, body)
}

/// An API with GitHub's webhook, and a connector over one repository.
struct Hooked {
    api: Api,
    repository: Repository,
    /// Where the connector's topic ended when this began.
    start: Positions,
    _directory: TempDir,
}

impl Hooked {
    fn start(name: &str, poll_interval: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), format!("the one before it, still valid\n{SECRET}\n")).unwrap();
        let repository = Repository::init(directory.path().join("hooked"));
        repository.commit_file("docs/a.md", "# A\n");
        let yaml = format!(
            "  webhooks:\n  - {{name: github, kind: github, secret_file: {}/secret}}\n\
             git: {{repositories: [{}], poll_interval: {poll_interval}}}\n",
            directory.path().display(),
            repository.url(),
        );
        let api = Api::configured(name, &yaml, &[GIT_TOPIC, WAKES], &[]);
        let start = ends(&api.world.stack.kafka, GIT_TOPIC);
        Self { api, repository, start, _directory: directory }
    }

    fn source(&self) -> String {
        format!("file://{}", self.repository.url())
    }

    fn connector(&self) -> Process {
        let mut command = self.api.world.command(&["connect", "git", "--config"]);
        command.arg(self.api.world.path("api.yaml"));
        Process::start(command)
    }

    /// Says that the branch was pushed, as GitHub would say it of this repository.
    fn tell(&self, delivery: &str) -> Answer {
        let mut push: Value = serde_json::from_str(PUSH).unwrap();
        push["repository"]["clone_url"] = self.source().into();
        push["after"] = self.repository.head().into();
        github(&self.api, "push", delivery, &push.to_string())
    }

    /// Ids of the repository's events, in their order.
    fn published(&self) -> Vec<String> {
        let all = read(&self.api.world.stack.kafka, GIT_TOPIC, &self.start).into_iter();
        let ours = all.filter(|read| read.record.header("ce_source") == Some(&self.source()));
        ours.map(|read| read.record.header("ce_id").unwrap().to_owned()).collect()
    }

    fn until_published(&self, sha: &str) {
        eventually("a commit is published", || self.published().contains(&format!("main@{sha}")));
    }
}

fn count(ids: &[String]) -> BTreeMap<&String, usize> {
    ids.iter().fold(BTreeMap::new(), |mut counts, id| {
        *counts.entry(id).or_default() += 1;
        counts
    })
}

#[test]
fn a_push_is_published_and_handled_at_once_and_a_redelivery_adds_nothing() {
    let hooked = Hooked::start("hooks_push", "1d");
    hooked.api.world.change_routes(|routes| {
        let route = |name: &str, handler: &str| {
            let (source, handles) = (hooked.source(), format!("{handler}\n    dependencies: [database]"));
            format!("  - name: {name}\n    match: {{type: git.{name}, source: '{source}', topic: {GIT_TOPIC}}}\n    handler: {handles}\n")
        };
        routes + &route("push", "log") + &route("commit", "log")
    });
    let replica = hooked.api.replica();
    let connector = hooked.connector();
    hooked.until_published(&hooked.repository.head());

    let sha = hooked.repository.commit_file("docs/b.md", "# B\n");
    let answer = hooked.tell("72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json(), json!({"status": "accepted", "repositories": [hooked.source()]}));
    hooked.until_published(&sha);
    let again = hooked.tell("72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!((again.status, &again.body), (202, &answer.body));

    // What the redelivery might have published stands before what comes next.
    let next = hooked.repository.commit_file("docs/c.md", "# C\n");
    assert_eq!(hooked.tell("2").status, 202);
    hooked.until_published(&next);
    eventually("the last push is published", || hooked.published().last().is_some_and(|id| id.ends_with(&next)));
    let ids = hooked.published();
    assert_eq!(ids.len(), 5, "three commits and two pushes: {ids:?}");
    assert!(count(&ids).values().all(|&times| times == 1), "{ids:?}");

    let outcome_of = |id: &str| {
        let outcomes = hooked.api.world.outcomes().into_iter();
        let mut about = outcomes.filter(|outcome| outcome.event_id.as_deref() == Some(id));
        about.find(crate::journal::Outcome::is_final).map(|outcome| outcome.outcome)
    };
    for id in &ids {
        assert_eq!(found("an outcome", || outcome_of(id)), "processed", "{id}");
    }
    for process in [connector, replica] {
        process.terminate();
        assert_eq!(process.ended().code(), Some(0));
    }
}

#[test]
fn what_is_both_polled_and_told_is_published_once() {
    let hooked = Hooked::start("hooks_both", "100ms");
    let connector = hooked.connector();
    hooked.until_published(&hooked.repository.head());
    let mut shas = vec![hooked.repository.head()];
    for n in 0..12 {
        shas.push(hooked.repository.commit_file("docs/a.md", &format!("# Revision {n}\n")));
        for _ in 0..2 {
            assert_eq!(hooked.tell(&format!("delivery-{n}")).status, 202);
        }
        if n % 3 == 0 {
            hooked.until_published(&shas[shas.len() - 1]);
        }
    }
    let last = hooked.repository.head();
    eventually("the last push is published", || {
        hooked.published().last().is_some_and(|id| id.ends_with(&format!("..{last}")))
    });
    connector.terminate();
    assert_eq!(connector.ended().code(), Some(0));
    let ids = hooked.published();
    assert!(count(&ids).values().all(|&times| times == 1), "{ids:?}");
    let commits: Vec<&str> = ids.iter().filter_map(|id| id.strip_prefix("main@")).collect();
    assert_eq!(commits, shas, "in order, none left out");
    // Each push goes on where the one before it ended, however many the connector found at a time.
    let pushes: Vec<(&str, &str)> =
        ids.iter().filter_map(|id| id.strip_prefix("refs/heads/main@")?.split_once("..")).collect();
    assert!(pushes.windows(2).all(|pair| pair[0].1 == pair[1].0), "{pushes:?}");
    assert_eq!((pushes[0].0, pushes[pushes.len() - 1].1), (&*shas[0], &*last));
}

const STANDARD: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// As Standard Webhooks say.
fn standard(api: &Api, id: &str, at: u64, body: &str) -> Answer {
    let base64 = base64::engine::general_purpose::STANDARD;
    let signature = sign(&base64.decode(STANDARD).unwrap(), format!("{id}.{at}.{body}").as_bytes());
    let (signature, at) = (format!("v1,{}", base64.encode(signature)), at.to_string());
    let headers = [("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)];
    api.ask("POST", "/webhooks/shop", &headers, body)
}

#[test]
fn a_delivery_is_one_event_however_often_it_is_sent() {
    let yaml = "  webhooks:\n  - {name: shop, kind: standard, key: [orderId]}\n  \
                - {name: flows, kind: hmac, header: X-Sign, type: workflow.requested}\n";
    let flows = "a secret of whoever asks for workflows";
    let variables = [
        ("COAFI__API__WEBHOOK_SECRETS__SHOP", &*format!("whsec_{STANDARD}")),
        ("COAFI__API__WEBHOOK_SECRETS__FLOWS", flows),
    ];
    let api = Api::configured("hooks_events", yaml, &[], &variables);
    let body = r#"{"orderId": "7", "status": "paid"}"#;
    let first = standard(&api, "msg_1", now_s(), body);
    assert_eq!((first.status, first.json()), (202, json!({"status": "accepted", "id": "msg_1"})), "{first:?}");
    let again = standard(&api, "msg_1", now_s() + 1, body);
    assert_eq!((again.status, &again.body), (202, &first.body), "sent again, at another time");
    problem(&standard(&api, "msg_1", now_s(), r#"{"orderId": "8"}"#), 409, "id-conflict");
    problem(&standard(&api, "msg_2", now_s() - 301, body), 401, "not-signed");
    problem(&standard(&api, "msg_2", now_s(), "{"), 400, "not-json");

    let published = api.published();
    assert_eq!(published.len(), 1, "{published:?}");
    let record = &published[0].record;
    assert_eq!(record.key.as_deref(), Some(&b"7"[..]));
    for (name, value) in [
        ("ce_id", "msg_1"),
        ("ce_source", "/coafi/api/webhooks/shop"),
        ("ce_type", "api.request"),
        ("ce_specversion", "1.0"),
    ] {
        assert_eq!(record.header(name), Some(value), "{name}");
    }
    let data = api.requests.decode(record.value.as_deref().unwrap());
    assert_eq!((&data["endpoint"], &data["principal"]), (&json!("webhooks/shop"), &json!("webhook:shop")));
    assert_eq!(data["body"], json!(body), "as it came");

    let flow = |body: &Value| {
        let body = body.to_string();
        let signature = hex(&sign(flows.as_bytes(), body.as_bytes()));
        api.ask("POST", "/webhooks/flows", &[("X-Sign", &signature)], &body)
    };
    let errors = problem(&flow(&json!({"workflow": 7})), 400, "invalid-body")["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "{errors}");

    for secret in [STANDARD, flows] {
        assert!(!api.process.log().contains(secret), "{}", api.process.log());
    }
}

#[test]
fn a_delivery_that_failed_was_not_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop");
    std::fs::write(&file, format!("whsec_{STANDARD}\n")).unwrap();
    let yaml = format!("  webhooks:\n  - {{name: shop, kind: standard, secret_file: {}}}\n", file.display());
    let away = [("COAFI__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("COAFI__API__LIMITS__PUBLISH_TIMEOUT", "1s")];
    let mut api = Api::configured("hooks_again", &yaml, &[], &away);
    let failed = standard(&api, "msg_1", now_s(), "{}");
    problem(&failed, 503, "unavailable");
    assert!(failed.header("retry-after").is_some(), "{failed:?}");
    // With Kafka, and the same database.
    api.restart();
    for _ in 0..2 {
        assert_eq!(standard(&api, "msg_1", now_s(), "{}").status, 202);
    }
    let ids: Vec<_> = api.published().iter().map(|read| read.record.header("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids, ["msg_1"]);
}

#[test]
fn what_is_not_believed_or_no_push_is_published_nowhere() {
    let hooked = Hooked::start("hooks_refused", "1d");
    let api = &hooked.api;
    let before = ends(&api.world.stack.kafka, WAKES);
    let refused = |headers: &[(&str, &str)]| {
        let event = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "1")];
        api.ask("POST", "/webhooks/github", &[&event, headers].concat(), PUSH)
    };
    let missing = refused(&[]);
    problem(&missing, 401, "not-signed");
    assert!(missing.header("www-authenticate").is_some(), "{missing:?}");
    let other = format!("sha256={}", hex(&sign(b"another secret of sixteen", PUSH.as_bytes())));
    problem(&refused(&[("X-Hub-Signature-256", &other)]), 401, "not-signed");
    problem(&refused(&[("X-API-Key", &api.key)]), 401, "not-signed");
    problem(&api.ask("POST", "/webhooks/unheard-of", &[], PUSH), 404, "no-such-webhook");
    let method = api.ask("GET", "/webhooks/github", &[], "");
    problem(&method, 405, "method-not-allowed");
    assert_eq!(method.header("allow"), Some("POST"));
    problem(&api.ask("POST", "/webhooks/github", &[], &"x".repeat(3 << 20)), 413, "body-too-large");
    problem(&github(api, "push", "1", "payload=%7B%7D"), 400, "invalid-body");

    let ping = github(api, "ping", "1", PING);
    assert_eq!((ping.status, ping.json()), (200, json!({"status": "accepted"})));
    let ignored = |answer: Answer, why: &str| {
        assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("ignored")), "{answer:?}");
        assert!(answer.json()["reason"].as_str().unwrap().contains(why), "{answer:?}");
    };
    ignored(github(api, "issues", "1", ISSUES), "\"issues\" is no push");
    ignored(github(api, "push", "1", PUSH), "https://github.com/Codertocat/Hello-World is not among git.repositories");

    let repository = hooked.source();
    let woken = read(&api.world.stack.kafka, WAKES, &before).into_iter();
    let woken: Vec<_> = woken.filter(|read| read.record.key == Some(format!("git:{repository}").into())).collect();
    assert!(woken.is_empty(), "{woken:?}");
    assert!(!api.process.log().contains(SECRET), "{}", api.process.log());
}

#[test]
fn a_gitlab_wakes_the_repository_that_its_webhook_is_configured_for() {
    let directory = tempfile::tempdir().unwrap();
    let mirror = directory.path().join("mirror");
    let yaml = format!(
        "  webhooks:\n  - {{name: gitlab, kind: gitlab, repository: {0}}}\ngit: {{repositories: [{0}]}}\n",
        mirror.display()
    );
    let variables = [("COAFI__API__WEBHOOK_SECRETS__GITLAB", SECRET)];
    let api = Api::configured("hooks_gitlab", &yaml, &[WAKES], &variables);
    let before = ends(&api.world.stack.kafka, WAKES);
    let post = |event: &str, token: &str| {
        let headers = [("X-Gitlab-Token", token), ("X-Gitlab-Event", event), ("Idempotency-Key", "1")];
        api.ask("POST", "/webhooks/gitlab", &headers, GITLAB_PUSH)
    };
    problem(&post("Push Hook", "another token of sixteen"), 401, "not-signed");
    assert_eq!(post("Issue Hook", SECRET).json()["status"], "ignored");
    let answer = post("Push Hook", SECRET);
    let source = format!("file://{}", mirror.display());
    assert_eq!((answer.status, answer.json()), (202, json!({"status": "accepted", "repositories": [source]})));
    let key = format!("git:{source}").into_bytes();
    let wakes = read(&api.world.stack.kafka, WAKES, &before);
    assert_eq!(wakes.iter().filter(|read| read.record.key.as_ref() == Some(&key)).count(), 1, "{wakes:?}");
}

/// Its configuration, its commands as somebody types them, and its routes.
#[test]
fn the_page_about_webhooks_says_what_happens() {
    let page = std::fs::read_to_string(repository().join("docs/webhooks.md")).unwrap();
    let block = |after: &str, language: &str| {
        let (_, rest) = page.split_once(after).unwrap_or_else(|| panic!("docs/webhooks.md: no {after:?}"));
        let (_, block) = rest.split_once(&format!("```{language}\n")).expect("a block");
        block.split_once("```").expect("an end").0.to_owned()
    };
    let directory = tempfile::tempdir().unwrap();
    for name in ["github", "billing"] {
        std::fs::write(directory.path().join(name), SECRET).unwrap();
    }
    let yaml = block("# Webhooks", "yaml").replace("/run/secrets", directory.path().to_str().unwrap());
    let (git, webhooks) = yaml.split_once("api:\n").expect("api after git");
    let api = Api::configured("hooks_page", &format!("{webhooks}{git}"), &[], &[]);
    let routes = block("The shipped route", "yaml");
    api.world.change_routes(|_| routes);
    let replica = api.replica();
    let url = api.url("");
    for (after, answer) in [
        ("Try it", "{\"status\":\"accepted\",\"id\":\"order-7-paid\"}\n202"),
        ("order-7-paid\"}", "{\"status\":\"accepted\"}\n200"),
    ] {
        assert_eq!(block(after, "text").trim(), answer);
        assert_eq!(typed(&block(after, "sh"), &url, directory.path()), answer);
    }
    assert_eq!(api.published().len(), 1);
    let ends = api.world.until_ended(1);
    assert_eq!((&*ends[0].outcome, ends[0].event_id.as_deref()), ("processed", Some("order-7-paid")), "{ends:?}");
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

fn typed(commands: &str, url: &str, directory: &Path) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-euc", commands]).env("URL", url).env("SECRET", SECRET).current_dir(directory);
    Process::start(shell).ended().well().trim().to_owned()
}
