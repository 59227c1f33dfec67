//! What is accepted is in Kafka; what is refused says why.

use serde_json::json;

use super::{Api, problem, update};

#[test]
fn an_accepted_request_is_an_event_that_any_registry_client_reads() {
    let api = Api::start("api_accepts");
    let body = update("wing-7", &json!({"status": "approved"}));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let bearer = format!("Bearer {}", api.key);
    let headers = [("Authorization", bearer.as_str()), ("traceparent", trace)];
    let answer = api.ask("POST", "/registry/update", &headers, &body.to_string());
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["requestId"].as_str().unwrap().to_owned();
    let status_url = format!("/requests/{id}");
    assert_eq!(answer.json(), json!({"requestId": id, "status": "pending", "statusUrl": status_url}));
    assert_eq!(answer.header("location"), Some(&*status_url));

    let published = api.published();
    assert_eq!(published.len(), 1, "{published:?}");
    let record = &published[0].record;
    assert_eq!(record.key.as_deref(), Some(&b"parts/wing-7"[..]));
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &*id),
        ("ce_source", "/coafi/api/registry/update"),
        ("ce_type", "api.request"),
        ("ce_subject", "parts/wing-7"),
        ("ce_partitionkey", "parts/wing-7"),
        ("ce_correlationid", &*id),
        ("ce_traceparent", trace),
        ("traceparent", trace),
        ("content-type", "application/avro"),
    ] {
        assert_eq!(record.header(name), Some(value), "{name}");
    }
    let data = api.requests.decode(record.value.as_deref().unwrap());
    assert_eq!((&data["endpoint"], &data["method"]), (&json!("registry/update"), &json!("POST")));
    assert_eq!((&data["requestId"], &data["principal"]), (&json!(id), &json!("key:all")));
    assert_eq!(data["body"], json!(body.to_string()));
    assert!(!format!("{published:?}").contains(&api.key), "a key ends at the API");
    assert!(!api.process.log().contains(&api.key), "nor is it logged");
}

#[test]
fn what_is_refused_says_why_and_is_published_nowhere() {
    let api = Api::with("api_refuses", &[("COAFI__API__LIMITS__BODY_MAX_BYTES", "1KiB")]);
    let good = update("a", &json!({}));
    let (text, key) = (good.to_string(), ("X-API-Key", &*api.key));

    let missing = api.ask("POST", "/registry/update", &[], &text);
    problem(&missing, 401, "unauthorized");
    assert!(missing.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")), "{missing:?}");
    for wrong in ["coafi_0123456789012345678901234567890123456789012", "a.b.c", "hunter2"] {
        problem(&api.ask("POST", "/registry/update", &[("X-API-Key", wrong)], &text), 401, "unauthorized");
    }
    problem(&api.ask("POST", "/registry/update", &[("X-API-Key", &api.limited)], &text), 403, "forbidden");
    problem(&api.post("/registry/unheard-of", &good), 404, "no-such-endpoint");
    let method = api.ask("PUT", "/registry/update", &[key], &text);
    problem(&method, 405, "method-not-allowed");
    assert_eq!(method.header("allow"), Some("POST"));
    problem(&api.post("/registry/update", &update("a", &json!({"x": "y".repeat(2_000)}))), 413, "body-too-large");
    let plain = [key, ("Content-Type", "text/plain")];
    let typed = crate::http::ask("POST", &api.url("/registry/update"), &plain, &text).unwrap();
    problem(&typed, 415, "unsupported-media-type");
    problem(&api.ask("POST", "/registry/update", &[key], "{\"a\":"), 400, "not-json");
    let invalid = api.post("/registry/update", &json!({"registryId": 7, "data": {}}));
    let errors = problem(&invalid, 400, "invalid-body")["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(2), "{errors}");
    let long = "x".repeat(100_000);
    assert_eq!(api.ask("POST", "/registry/update", &[key, ("X-Long", &long)], &text).status, 431);

    assert_eq!(api.published().len(), 0);
    assert_eq!(api.post("//registry/update/", &good).status, 202, "slashes around a name are none of it");
}

#[test]
fn a_principal_that_asks_too_often_is_told_when_to_ask_again() {
    let rate = [("COAFI__API__RATE_LIMIT__PER_SECOND", "1"), ("COAFI__API__RATE_LIMIT__BURST", "3")];
    let api = Api::with("api_rate", &rate);
    // At once: a second brings another one.
    let asked = |n: usize| api.post("/registry/update", &update(&n.to_string(), &json!({})));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..30).map(|n| scope.spawn(move || asked(n))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(answers.iter().filter(|answer| answer.status == 202).count() >= 3);
    let refused = answers.iter().find(|answer| answer.status != 202).expect("thirty are too many");
    problem(refused, 429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let other = api.ask("POST", "/workflow/start", &[("X-API-Key", &api.limited)], r#"{"workflowName": "W"}"#);
    assert_eq!(other.status, 202, "others have a rate of their own");
}

#[test]
fn a_request_is_not_accepted_while_kafka_is_away() {
    let api = Api::with(
        "api_away",
        &[("COAFI__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"), ("COAFI__API__LIMITS__PUBLISH_TIMEOUT", "1s")],
    );
    let answer = api.post("/registry/update", &update("a", &json!({})));
    problem(&answer, 503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    api.process.terminate();
    assert_eq!(api.process.ended().code(), Some(0));
}

#[test]
fn an_api_that_nobody_could_use_does_not_start() {
    let api = Api::start("api_nobody");
    let ended = api.world.run(&["api"]);
    assert_eq!(ended.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("coafi api key"), "{}", ended.stderr);
}
