//! What callers learn of how their requests ended: at once, later, and when they send them again.

use serde_json::{Value, json};

use super::{Api, RESULTS, accepted, problem, update};
use crate::http::Answer;
use crate::process::found;
use crate::stack::unique;
use crate::topic::Record;

impl Api {
    fn waiting(&self, seconds: u32, headers: &[(&str, &str)], body: &Value) -> Answer {
        let prefer = format!("wait={seconds}");
        let headers = [&[("X-API-Key", &*self.key), ("Prefer", &*prefer)], headers].concat();
        self.ask("POST", "/registry/update", &headers, &body.to_string())
    }

    fn status(&self, id: &str) -> Answer {
        self.ask("GET", &format!("/requests/{id}"), &[("X-API-Key", &self.key)], "")
    }

    /// Its status once it is not pending any more.
    fn ended(&self, id: &str) -> Value {
        found("the end of the request", || {
            let answer = self.status(id);
            // Just started, it may still read what was before.
            let json = (answer.status == 200).then(|| answer.json())?;
            (json["status"] == "ended").then_some(json)
        })
    }
}

#[test]
fn who_waits_is_answered_with_the_outcome() {
    let api = Api::start("api_wait");
    let _replica = api.replica();
    let done = api.waiting(30, &[], &update("a", &json!({"n": 1})));
    assert_eq!((done.status, done.header("content-type")), (200, Some("application/json")), "{done:?}");
    assert_eq!(done.header("preference-applied"), Some("wait=30"));
    assert_eq!(done.json()["updateResult"]["change"], "created");
    let id = done.header("location").unwrap().strip_prefix("/requests/").unwrap().to_owned();
    let status = api.status(&id).json();
    assert_eq!((&status["status"], &status["outcome"]), (&json!("ended"), &json!("processed")));
    assert_eq!(status["result"], json!({"status": 200, "body": done.json()}));

    let mut late = update("a", &json!({"n": 2}));
    late["expectedVersion"] = 0.into();
    problem(&api.waiting(3_000, &[], &late), 409, "version-conflict");
}

#[test]
fn a_request_is_pending_until_it_is_handled_and_known_to_its_principal_alone() {
    let mut api = Api::start("api_pending");
    let pending = api.waiting(1, &[], &update("a", &json!({})));
    assert_eq!(pending.header("preference-applied"), Some("wait=1"));
    let id = accepted(&pending);
    let status = api.status(&id);
    assert_eq!(status.json(), json!({"requestId": id, "status": "pending"}));
    assert_eq!(status.header("retry-after"), Some("1"));
    let path = format!("/requests/{id}");
    problem(&api.ask("GET", &path, &[], ""), 401, "unauthorized");
    problem(&api.ask("GET", &path, &[("X-API-Key", &api.limited)], ""), 404, "no-such-request");
    problem(&api.status("unheard-of"), 404, "no-such-request");

    let _replica = api.replica_from("earliest");
    assert_eq!(api.ended(&id)["result"]["status"], 200);
    api.restart();
    assert_eq!(api.ended(&id)["result"]["status"], 200, "another process reads it anew");
}

#[test]
fn an_outcome_of_long_ago_is_looked_for_in_the_topic() {
    let api = Api::start("api_long_ago");
    let id = accepted(&api.post("/registry/update", &update("a", &json!({}))));
    let hours_ago = |hours: i64| jiff::Timestamp::now().as_millisecond() - hours * 3_600_000;
    let statement = format!(
        "WITH made AS (UPDATE http_request SET created_at = now() - interval '6 hours' WHERE id = '{id}' RETURNING 1) \
         SELECT count(*) FROM made"
    );
    assert_eq!(api.world.database.number(&statement), 1);
    let status = api.status(&id);
    assert_eq!(status.json()["status"], "pending", "nothing is found: {status:?}");
    let reply = json!({
        "requestId": id, "requestSource": "/coafi/api/registry/update", "outcome": "processed", "status": 200,
        "body": "{\"n\":1}", "repliedAt": hours_ago(5),
    });
    let value = api.replies.encode(&reply);
    let record = Record { key: Some(id.clone().into_bytes()), value: Some(value), ..Record::default() };
    api.world.producer.send_as_of(RESULTS, 0, &record, hours_ago(5));
    // What comes now is learned at once, whatever its time; only a new process has to look.
    let mut api = api;
    api.restart();
    assert_eq!(api.ended(&id)["result"]["body"], json!({"n": 1}));
}

#[test]
fn a_request_that_is_sent_again_under_its_key_is_one_request() {
    let api = Api::start("api_again");
    // Theirs alone: a client that was made from the API's description sends the key of its example, as the same principal.
    let (one, two) = (unique("order"), unique("order"));
    let (body, other) = (update("a", &json!({"n": 1})), update("a", &json!({"n": 2})));
    let send = |key: &str, idempotency_key: &str, body: &Value| {
        let headers = [("X-API-Key", key), ("Idempotency-Key", idempotency_key)];
        api.ask("POST", "/registry/update", &headers, &body.to_string())
    };
    let first = accepted(&send(&api.key, &one, &body));
    assert_eq!(accepted(&send(&api.key, &one, &body)), first);
    problem(&send(&api.key, &one, &other), 409, "id-conflict");
    assert_ne!(accepted(&send(&api.key, &two, &other)), first);
    problem(&send(&api.key, &"x".repeat(300), &body), 400, "invalid-idempotency-key");
    assert_eq!(api.published().len(), 2, "each is published once");

    let _replica = api.replica_from("earliest");
    let again = api.waiting(30, &[("Idempotency-Key", &*one)], &body);
    assert_eq!((again.status, again.header("location")), (200, Some(&*format!("/requests/{first}"))), "{again:?}");
    assert_eq!(api.published().len(), 2);
}
