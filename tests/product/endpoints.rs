//! Handlers in other languages: a real server, called by the real program.

pub(crate) mod server;

use aws_lc_rs::hmac;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::server::{Call, Server};
use crate::event::Subject;
use crate::process::{Process, eventually};
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::topic::{Positions, Read, Record, read};
use crate::world::{World, coafi};

const TAG: &str = "org.coafi.events.GitTagEventPayload";
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const ROUTES: &str = "routes:
  - {name: tags, match: {type: git.tag, topic: TOPIC}, handler: log}
  - name: moved
    match: {type: git.push, source: /moved, topic: TOPIC}
    handler: http:enrich
    retry: {in_place: {attempts: 1}, topics: [1s]}
  - name: pushes
    match: {type: git.push, topic: TOPIC}
    handler: http:enrich
    retry: {in_place: {attempts: 3, backoff: {initial: 20ms, cap: 50ms}}}
    dependencies: [database, schema-registry]
";

/// A world in which pushes go to an endpoint at this URL.
fn world(name: &str, url: &str, allow: &str) -> World {
    let world = World::on(Stack::shared(), name);
    world.change_routes(|_| ROUTES.replace("TOPIC", &world.topic));
    let topic = &world.topic;
    let settings = format!(
        "outgoing: {{allow: [{allow}]}}
endpoints:
  - {{name: enrich, url: '{url}', secret_file: secret, timeout: 20s, emits: {{git.tag: {topic}}}}}
"
    );
    std::fs::write(world.path("coafi.yaml"), settings).unwrap();
    std::fs::write(world.path("secret"), format!("whsec_{SECRET}\n")).unwrap();
    world
}

fn beside(name: &str, server: &Server) -> World {
    world(name, &format!("http://127.0.0.1:{}/events?code=hunter2", server.port()), "127.0.0.0/8")
}

/// A tag that follows from the event of this call.
fn tag(call: &Call, name: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{}/{name}", call.header("ce-id")), "source": "/enricher", "type": "git.tag",
        "subject": name, "data": {"repositoryUrl": "https://example.org/product.git", "tag": name, "action": "created"},
    })
}

fn answered(media: &'static str, body: &Value) -> Response {
    ([("content-type", media)], body.to_string()).into_response()
}

fn structured(event: &Value) -> Response {
    answered("application/cloudevents+json", event)
}

fn id(record: &Record) -> String {
    record.header("ce_id").unwrap().to_owned()
}

/// Committed events of a type in the world's topic.
fn committed(world: &World, event_type: &str) -> Vec<Read> {
    let all = read(&world.stack.kafka, &world.topic, &Positions::new());
    all.into_iter().filter(|read| read.record.header("ce_type") == Some(event_type)).collect()
}

fn ended(world: &World, mut replica: Process, count: usize) {
    replica.until_ready();
    world.until_ended(count);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
}

#[test]
fn an_event_goes_out_signed_and_what_comes_back_is_emitted_with_its_outcome() {
    let server = Server::start(|call, _| Some(structured(&tag(call, "v1"))));
    let world = beside("endpoint", &server);
    let push = world.push("key").with("ce_colour", "r\u{f6}d 100%").with("ce_replyto", "coafi.results");
    world.send(&push);
    ended(&world, world.replica(), 2);

    let calls = server.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    for (name, expected) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &*id(&push)),
        ("ce-source", "/product"),
        ("ce-type", "git.push"),
        ("ce-colour", "r%C3%B6d%20100%25"),
        ("ce-replyto", ""),
        ("content-type", "application/json"),
        ("coafi-attempt", "1"),
    ] {
        assert_eq!(call.header(name), expected, "{name}");
    }
    let data: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(data["repositoryUrl"], "https://example.org/product.git");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(SECRET).unwrap());
    let signed =
        [call.header("webhook-id").as_bytes(), b".", call.header("webhook-timestamp").as_bytes(), b".", &call.body];
    let signature = call.header("webhook-signature").strip_prefix("v1,").expect("it is signed");
    hmac::verify(&key, &signed.concat(), &BASE64.decode(signature).unwrap()).expect("with our secret");

    let tags = committed(&world, "git.tag");
    assert_eq!(tags.len(), 1);
    let tagged = &tags[0].record;
    assert_eq!(tagged.key.as_deref(), Some(&b"v1"[..]), "its subject is its key");
    assert_eq!(tagged.header("ce_id"), Some(&*format!("{}/v1", id(&push))));
    assert_eq!(tagged.header("ce_causationid"), push.header("ce_id"));
    let schema = Subject::latest(&world.stack.registry, &world.topic, TAG);
    assert_eq!(schema.decode(tagged.value.as_deref().unwrap())["tag"], "v1");
    let replay = ["replay", "--topic", &world.topic, "--type", "git.push", "--from", "beginning", "--output", "json"];
    let replayed = world.run(&replay);
    let handled: Value = serde_json::from_str(&replayed.stdout).unwrap_or_else(|error| panic!("{error}: {replayed:?}"));
    assert_eq!((&handled["handled"], &handled["notCalled"]), (&json!(1), &json!(1)), "{handled}");
    assert_eq!((&handled["different"], replayed.code()), (&json!(0), Some(0)), "what nobody was asked cannot differ");
    assert_eq!(server.calls().len(), 1, "in isolation nobody is called");
    let explained = world.run(&["routes", "explain", "--type", "git.push", "--topic", &world.topic]).well();
    assert!(explained.contains("/events?***, signed, within 20s"), "{explained}");
    let shown = world.run(&["config", "show"]).well();
    assert!(!shown.contains("hunter2") && !shown.contains(SECRET), "{shown}");
}

/// Whose next attempt is made from the retry topic.
const MOVED: &str = "503-moved-once";
/// What it is asked to wait for, and what that topic does.
const MOVED_FOR: Duration = Duration::from_secs(1);

/// What the server does with a push of this key, and how it ends at which attempt.
const CASES: [(&str, &str, i32, &str); 16] = [
    ("204", "processed", 1, ""),
    ("no-event", "processed", 1, ""),
    ("batch", "processed", 1, ""),
    ("404", "dead_lettered", 1, "permanent"),
    ("410", "dead_lettered", 1, "permanent"),
    ("302", "dead_lettered", 1, "permanent"),
    ("other-type", "dead_lettered", 1, "permanent"),
    ("bad-data", "dead_lettered", 1, "permanent"),
    ("500-once", "processed", 2, ""),
    ("503-once", "processed", 2, ""),
    ("500", "dead_lettered", 3, "transient"),
    ("429-once", "processed", 2, ""),
    ("binary", "processed", 1, ""),
    ("too-many", "dead_lettered", 1, "permanent"),
    ("too-large", "dead_lettered", 1, "permanent"),
    (MOVED, "processed", 2, ""),
];

#[test]
fn a_status_says_what_becomes_of_the_event() {
    const WAIT: Duration = Duration::from_secs(2);
    let server = Server::start(|call, earlier| {
        let status = |code: u16| StatusCode::from_u16(code).unwrap();
        let case = call.header("ce-subject");
        let later = earlier > 0 && case.ends_with("-once");
        Some(match case {
            _ if later => status(204).into_response(),
            "no-event" => answered("application/json", &json!({"message": "nothing to add"})),
            "batch" => answered("application/cloudevents-batch+json", &json!([tag(call, "a"), tag(call, "b")])),
            "binary" => {
                let id = format!("{}/e", call.header("ce-id"));
                let attributes = [
                    ("ce-specversion", "1.0"),
                    ("ce-id", &*id),
                    ("ce-source", "/enricher"),
                    ("ce-type", "git.tag"),
                    ("ce-partitionkey", "of%20its%20own"),
                    ("content-type", "application/json"),
                ];
                (attributes, tag(call, "e")["data"].to_string()).into_response()
            }
            "too-many" => answered("application/cloudevents-batch+json", &json!(vec![tag(call, "f"); 101])),
            "too-large" => "x".repeat((1 << 20) + 1).into_response(),
            "404" => (status(404), "no such\nrepository").into_response(),
            "302" => (status(302), [("location", "http://127.0.0.1:1/")]).into_response(),
            "other-type" => {
                let mut other = tag(call, "c");
                other["type"] = json!("git.commit");
                structured(&other)
            }
            "bad-data" => {
                let mut bad = tag(call, "d");
                bad["data"] = json!({"tag": 7});
                structured(&bad)
            }
            MOVED => (status(503), [("retry-after", MOVED_FOR.as_secs().to_string())]).into_response(),
            "429-once" => (status(429), [("retry-after", WAIT.as_secs().to_string())]).into_response(),
            code => status(code[..3].parse().unwrap()).into_response(),
        })
    });
    let world = beside("statuses", &server);
    let pushes = CASES.map(|(case, ..)| {
        let push = world.push(case).with("ce_subject", case);
        if case == MOVED { push.without("ce_source").with("ce_source", "/moved") } else { push }
    });
    for push in &pushes {
        world.send(push);
    }
    ended(&world, world.replica(), CASES.len() + 3);

    for (push, (case, outcome, attempt, class)) in pushes.iter().zip(CASES) {
        let end = world.end_of(push);
        let got = (&*end.outcome, end.attempt, end.error_class.as_deref().unwrap_or_default());
        assert_eq!(got, (outcome, attempt, class), "{case}");
        let calls = server.calls_of(&id(push));
        assert_eq!(calls.len(), attempt as usize, "{case}");
        let ids: Vec<&str> = calls.iter().map(|call| call.header("webhook-id")).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{case}: {ids:?}");
        let attempts: Vec<&str> = calls.iter().map(|call| call.header("coafi-attempt")).collect();
        assert_eq!(attempts, ["1", "2", "3"][..calls.len()], "{case}");
    }
    for (case, wait) in [(11, WAIT), (15, MOVED_FOR)] {
        let asked = server.calls_of(&id(&pushes[case]));
        let waited = asked[1].at - asked[0].at;
        assert!(waited >= wait, "it asked for {wait:?} and was tried again after {waited:?}");
    }
    let moved = read(&world.stack.kafka, &format!("{}.retry.1s", world.topic), &Positions::new());
    assert_eq!(moved.iter().map(|read| id(&read.record)).collect::<Vec<_>>(), [id(&pushes[15])]);
    let emitted = committed(&world, "git.tag");
    let mut tags: Vec<String> = emitted.iter().map(|read| id(&read.record)).collect();
    tags.sort();
    let mut expected = [(2, "a"), (2, "b"), (12, "e")].map(|(case, name)| format!("{}/{name}", id(&pushes[case])));
    expected.sort();
    assert_eq!(tags, expected, "nothing of what was refused");
    let binary = emitted.iter().find(|read| id(&read.record).ends_with("/e")).expect("it is one of them");
    assert_eq!(binary.record.key.as_deref(), Some(&b"of its own"[..]));
    let said = |case: usize| {
        let letters = world.dead_letters();
        let letter = letters.iter().find(|letter| id(&letter.record) == id(&pushes[case])).expect("a dead letter");
        letter.record.header("coafi-error-message").unwrap().to_owned()
    };
    assert_eq!(said(3), "enrich answered 404: no such repository");
    assert!(said(6).contains("allowed by emits: git.tag"), "{}", said(6));
    assert!(said(13).contains("101 events; allowed: 100"), "{}", said(13));
    assert!(said(14).contains("more than 1048576 bytes"), "{}", said(14));
    assert!(said(7).contains("repositoryUrl: it is missing"), "{}", said(7));
}

#[test]
fn an_endpoint_that_is_away_costs_no_attempt() {
    let mut server = Server::start(|_, _| Some(StatusCode::NO_CONTENT.into_response()));
    let world = beside("away", &server);
    server.stop();
    let pushes: Vec<Record> = (0..6).map(|n| world.push(&format!("key-{}", n % 3))).collect();
    for push in &pushes {
        world.send(push);
    }
    let mut replica = world.replica();
    let open = r#"coafi_circuit{dependency="http:enrich",state="open"}"#;
    eventually("its circuit opens", || replica.metric(open) > 0.0);
    let ready = replica.page("/ready");
    assert!(ready.body.contains("http:enrich"), "{}", ready.body);
    assert_eq!(world.outcomes().len(), 0, "an outage is no attempt");
    server.restart();
    world.until_ended(pushes.len());
    replica.until_ready();
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    for push in &pushes {
        let end = world.end_of(push);
        assert_eq!((&*end.outcome, end.attempt), ("processed", 1), "{end:?}");
    }
}

#[test]
fn what_was_answered_before_the_replica_was_killed_is_emitted_once_and_nobody_is_asked_again() {
    let answers = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&answers);
    let server = Server::start(move |call, _| {
        let waits = call.header("ce-subject") == "slow" && !now.load(Ordering::SeqCst);
        (!waits).then(|| structured(&tag(call, "v1")))
    });
    let world = beside("killed", &server);
    let (quick, slow) =
        (world.push("quick").with("ce_subject", "quick"), world.push("slow").with("ce_subject", "slow"));
    let first = world.push("first").with("ce_subject", "first");
    world.send(&first);
    // So that nothing is committed while the slow one is out, once the replica has its partitions.
    let mut command = world.command(&["consume"]);
    command.env("COAFI__KAFKA__COMMIT__INTERVAL", "30s").env("COAFI__KAFKA__TRANSACTION_TIMEOUT", "70s");
    let mut replica = Process::start(command);
    world.until_ended(2);
    let processed = || replica.metric(r#"coafi_outcomes_total{outcome="processed"}"#);
    eventually("the first one and its tag are counted", || processed() == 2.0);
    world.send(&slow);
    eventually("the slow one is asked", || server.calls_of(&id(&slow)).len() == 1);
    world.send(&quick);
    eventually("the answer is stored", || world.database.number("SELECT count(*) FROM inbox") == 2);
    assert_eq!(processed(), 2.0, "its outcome is not committed");
    replica.kill();
    drop(replica);

    answers.store(true, Ordering::SeqCst);
    ended(&world, world.replica(), 6);
    let mut tags: Vec<String> = committed(&world, "git.tag").iter().map(|read| id(&read.record)).collect();
    tags.sort();
    let mut expected = [&first, &quick, &slow].map(|push| format!("{}/v1", id(push)));
    expected.sort();
    assert_eq!(tags, expected, "each once");
    assert_eq!(server.calls_of(&id(&quick)).len(), 1, "what is stored is not asked for again");
    let asked = server.calls_of(&id(&slow));
    assert_eq!(asked.len(), 2, "the one whose answer was lost is");
    assert_eq!(asked[0].header("webhook-id"), asked[1].header("webhook-id"), "so that the server can know it");
}

#[test]
fn what_is_not_public_is_not_called() {
    let metadata = world("metadata", "http://169.254.169.254/latest/meta-data", "");
    let refused = metadata.run(&["consume", "--exit-when-idle", "1s"]);
    assert_ne!(refused.code(), Some(0));
    assert!(refused.stderr.contains("169.254.169.254 is not a public address"), "{}", refused.stderr);

    let server = Server::start(|_, _| Some(StatusCode::NO_CONTENT.into_response()));
    let local = world("rebinding", &format!("http://localhost:{}", server.port()), "");
    let push = local.push("key");
    local.send(&push);
    let replica = local.replica();
    let open = r#"coafi_circuit{dependency="http:enrich",state="open"}"#;
    eventually("its circuit opens", || replica.metric(open) > 0.0);
    assert!(server.calls().is_empty());
    replica.terminate();
    let ended = replica.ended();
    assert!(ended.stderr.contains("localhost") && ended.stderr.contains("outgoing.allow"), "{}", ended.stderr);
    assert!(local.dead_letters().is_empty(), "it waits for whoever mends the configuration");
}

#[test]
fn a_route_names_an_endpoint_that_there_is() {
    let world = world("names", "https://enrich.example", "");
    world.change_routes(|routes| routes.replace("http:enrich", "http:enrihc"));
    let refused = world.run(&["routes", "lint"]);
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("http:enrihc") && refused.stderr.contains("http:enrich"), "{}", refused.stderr);
    world.change_routes(|routes| routes.replace("http:enrihc", "http:enrich"));
    assert_eq!(world.run(&["routes", "lint"]).code(), Some(0));
}

#[test]
fn dev_calls_what_is_on_the_same_machine() {
    const COMMITS: usize = 3;
    let server = Server::start(|call, _| Some(structured(&tag(call, "v1"))));
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::init(directory.path().join("repository"));
    (0..COMMITS).for_each(|n| drop(repository.commit_file("a.md", &format!("# Revision {n}\n"))));
    let settings = format!(
        "endpoints: [{{name: enrich, url: 'http://127.0.0.1:{}', unsigned: true, emits: {{git.tag: coafi.git}}}}]\n",
        server.port()
    );
    std::fs::write(directory.path().join("coafi.yaml"), settings).unwrap();
    let routes = "routes:
  - {name: commits, match: {type: git.commit}, handler: http:enrich}
  - {name: tags, match: {type: git.tag}, handler: log}
";
    std::fs::write(directory.path().join("handler_routes.yaml"), routes).unwrap();
    let mut command = coafi(&Stack::nowhere(), directory.path());
    command.args(["dev", "--once", "--workflows", "--output", "json", "--repo"]).arg(&repository.path);
    let summary = Process::start(command).ended().json();
    assert_eq!(summary["events"]["processed"], 2 * COMMITS, "the commits and their tags: {summary}");
    let calls = server.calls();
    assert_eq!(calls.len(), COMMITS);
    assert!(calls.iter().all(|call| call.header("webhook-id").starts_with("msg_")), "also where nothing is signed");
}
