//! Who is told what, of each way in which a request may end.

use serde_json::{Value, json};

use super::*;
use crate::dispatch::Reply;
use crate::schema::payloads::ApiReply;

fn request(topic: &str) -> Record {
    record(topic, 7, &[("ce_replyto", "coafi.results"), ("ce_correlationid", "chain"), ("traceparent", TRACEPARENT)])
}

/// Outcome, status and body of the one reply; `None` if there is none.
async fn reply(world: &World, output: &Staged) -> Option<(String, i32, Value)> {
    let records = world.render(output);
    let replies: Vec<_> = records.iter().filter(|record| &*record.topic == "coafi.results").collect();
    assert!(replies.len() <= 1, "{replies:?}");
    let record = replies.first()?;
    let header = |name| record.headers.text(name);
    assert_eq!((record.key.as_deref(), header("ce_correlationid")), (Some(&b"id-7"[..]), Some("chain")));
    assert_eq!((header("ce_type"), header("traceparent")), (Some("api.reply"), Some(TRACEPARENT)));
    let reply: ApiReply = world.backing.services.codec.decode_avro(record.value.as_ref().unwrap()).await.unwrap();
    assert_eq!((&*reply.request_id, &*reply.request_source), ("id-7", "/source"));
    Some((reply.outcome, reply.status, serde_json::from_str(&reply.body).unwrap()))
}

fn invalid() -> Failure {
    let mut failure = Failure::invalid("version_conflict", "it is at 2").with_status(409);
    failure.errors = vec!["one".into()];
    failure
}

fn success(reply: Option<Reply>) -> Option<Report> {
    succeeded(Success { message: "done".into(), workflow_id: Some("wf-1".into()), reply, ..Success::default() })
}

#[tokio::test]
async fn each_end_has_its_reply() {
    let world = World::new().await;
    let check = async |report, disposition, expected: Option<(&str, i32)>| {
        let output = Staged { report, ..world.output(request("coafi.git"), disposition) };
        let replied = reply(&world, &output).await;
        let brief = replied.as_ref().map(|(outcome, status, _)| (&**outcome, *status));
        assert_eq!(brief, expected, "{replied:?}");
        replied.map_or(Value::Null, |(_, _, body)| body)
    };
    let dead = |class| Disposition::DeadLetter { class };
    let result = check(success(None), Disposition::Processed, Some(("processed", 200))).await;
    assert_eq!(result, json!({"success": true, "message": "done", "workflowId": "wf-1"}));
    let own = Reply { status: 201, body: json!({"n": 1}) };
    assert_eq!(check(success(Some(own)), Disposition::Processed, Some(("processed", 201))).await, json!({"n": 1}));
    let refused = check(failed(invalid()), Disposition::Processed, Some(("refused", 409))).await;
    let expected = json!({
        "type": "urn:coafi:problem:version-conflict", "title": "Conflict", "status": 409, "detail": "it is at 2",
        "errors": ["one"],
    });
    assert_eq!(refused, expected);
    check(failed(fail(Class::Invalid)), dead(Class::Invalid), Some(("dead_lettered", 400))).await;
    let internal = check(failed(fail(Class::Permanent)), dead(Class::Permanent), Some(("dead_lettered", 500))).await;
    assert!(!internal.to_string().contains("as the script says"), "what went wrong inside stays inside: {internal}");
    check(None, Disposition::Unprocessed, Some(("unprocessed", 501))).await;
    check(None, Disposition::Filtered, Some(("filtered", 200))).await;
    check(None, Disposition::Duplicate { first_seen: Offset(1) }, None).await;
    check(failed(fail(Class::Transient)), world.retry_topic(0), None).await;
}

#[tokio::test]
async fn who_does_not_ask_for_a_reply_to_the_one_topic_gets_none() {
    let world = World::new().await;
    for headers in [&[][..], &[("ce_replyto", "coafi.git")]] {
        let output = Staged { report: success(None), ..world.output(record("t", 7, headers), Disposition::Processed) };
        assert_eq!(world.render(&output).len(), 1, "{headers:?}");
    }
}

#[tokio::test]
async fn a_reply_that_would_be_too_large_says_so() {
    let world = World::new().await;
    let large = Reply { status: 200, body: json!({"message": "m", "x": "y".repeat(300_000)}) };
    let output = Staged { report: success(Some(large)), ..world.output(request("coafi.git"), Disposition::Processed) };
    let (_, _, body) = reply(&world, &output).await.unwrap();
    assert_eq!((&body["message"], body["omittedBytes"].as_u64() > Some(300_000)), (&json!("m"), true));
}
