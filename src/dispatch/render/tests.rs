//! What outputs produce: golden files for what other software reads, and the rules that must hold for all of them.

mod answers;
mod failure_log;
mod profiles;

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::{ExpectFile, expect_file};

use super::*;
use crate::bitt::Writer;
use crate::dispatch::replies;
use crate::dispatch::tests::fixture::{Backing, delivery, fail, record, routes, routing};
use crate::dispatch::{Failure, HandlerRun, NewEvent, Refusal, Routing, Step, Success, hop};
use crate::engine::{Epoch, PartitionId, RouteId, Ticket};
use crate::event::{Offset, Record, RecordBuilder};
use crate::schema::payloads::{Outcome, OutcomeKind};

const ROUTES: &str = "routes:
  - name: r
    match: {type: t}
    handlers: [a, b]
    retry: {topics: [5s, 1m]}
";
const RECEIVED_MS: i64 = 1_763_740_800_000;
const LIMIT: usize = 100_000;

struct World {
    renderer: Renderer,
    routing: Arc<Routing>,
    clock: Clock,
    backing: Backing,
}

impl World {
    async fn new() -> Self {
        Self::with(HeaderProfile::Coafi).await
    }

    async fn with(profile: HeaderProfile) -> Self {
        let backing = Backing::new().await;
        let writer = Writer {
            cluster_id: "cluster".into(),
            topic_ids: [("coafi.git".to_owned(), "topic-id".to_owned())].into(),
            run: String::new(),
            group: "group".into(),
            worker_id: "worker-0".into(),
            topic: "coafi.bitt.records".into(),
        };
        let audit = Arc::new(Audit::connect(writer, &backing.services.codec).await.unwrap());
        let replies = replies::encoder(&backing.services.codec).await.unwrap();
        let routing = routing(routes(ROUTES));
        let limits = RecordLimits::new(LIMIT, BTreeMap::new());
        let settings = Settings { limits, profile, ..Settings::default() };
        let renderer = Renderer::new(audit, Some(replies), None, &settings);
        Self { renderer, routing, clock: Clock::start(), backing }
    }

    /// An output about this record, of an attempt without a report.
    fn output(&self, record: Record, disposition: Disposition) -> Staged {
        let looked_at = Arc::into_inner(delivery(&self.routing, record)).unwrap();
        let payload = Arc::new(Delivery { received_ms: RECEIVED_MS, ..looked_at });
        let offset = payload.record().offset();
        Output {
            ticket: Ticket { partition: PartitionId(0), epoch: Epoch(9), offset, sequence: 0 },
            route: payload.route.as_ref().map(Routed::id),
            attempt: 2,
            done: 0b01,
            disposition,
            overflow: false,
            payload,
            report: None,
        }
    }

    fn render(&self, output: &Staged) -> Vec<Outgoing> {
        let mut records = Vec::new();
        let source = output.payload.record().topic_partition();
        self.renderer.render(&source, output, &self.clock, &mut records);
        let mut again = Vec::new();
        self.renderer.render(&source, output, &self.clock, &mut again);
        assert_eq!(records, again, "a re-staged output renders to the same records");
        assert_eq!(records.iter().filter(|record| &*record.topic == "coafi.bitt.records").count(), 1);
        records
    }

    async fn outcome(&self, record: &Outgoing) -> Outcome<'static> {
        self.backing.services.codec.decode_avro(record.value.as_ref().unwrap()).await.unwrap()
    }

    async fn outcome_of(&self, output: &Staged) -> Outcome<'static> {
        self.outcome(&self.render(output)[0]).await
    }

    fn retry_topic(&self, tier: usize) -> Disposition {
        Disposition::RetryTopic { class: Class::Transient, tier, due: self.clock.now() + Duration::from_secs(5) }
    }

    /// A record as text, with what depends on the time of the test named.
    fn dump(&self, record: &Outgoing, disposition: &Disposition) -> String {
        let text = record.dump();
        match outcome::due(disposition, &self.clock) {
            Some(due) => text.replace(&due.to_string(), "<due>"),
            None => text,
        }
    }

    fn check(&self, output: &Staged, index: usize, golden: ExpectFile) {
        golden.assert_eq(&self.dump(&self.render(output)[index], &output.disposition));
    }
}

/// Handler `a` succeeded before, `b` failed now.
fn failed(failure: Failure) -> Option<Report> {
    let refusal = Refusal { failure, location: Some("src/handlers/b.rs:7:5".into()) };
    let run = HandlerRun { handler: Some(1), took: Duration::from_millis(3), result: Err(refusal) };
    report(vec![run])
}

fn succeeded(success: Success) -> Option<Report> {
    report(vec![HandlerRun { handler: Some(0), took: Duration::from_millis(3), result: Ok(success) }])
}

fn report(runs: Vec<HandlerRun>) -> Option<Report> {
    let route = routing(routes(ROUTES)).find("coafi.git", "t", "/source").unwrap();
    Some(Report { started_ms: RECEIVED_MS + 1, ended_ms: RECEIVED_MS + 4, runs, traceparent: None, route })
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(topic: &str) -> Record {
    record(topic, 7, &[("ce_utids", "UT-1, UT-2"), ("traceparent", TRACEPARENT), ("x-foreign", "kept")])
}

#[tokio::test]
async fn a_retry_record() {
    let world = World::new().await;
    let output =
        Staged { report: failed(fail(Class::Transient)), ..world.output(event("coafi.git"), world.retry_topic(0)) };
    world.check(&output, 1, expect_file!["../../../tests/golden/dispatch/retry.txt"]);
}

#[tokio::test]
async fn a_retry_of_a_retry_goes_on_from_the_origin() {
    let world = World::new().await;
    let before = [
        (hop::ATTEMPT, "3"),
        (hop::DONE, "a"),
        (hop::ORIGIN_TOPIC, "coafi.git"),
        (hop::ORIGIN_PARTITION, "1"),
        (hop::ORIGIN_OFFSET, "42"),
        (hop::FIRST_FAILURE, "1763740000000"),
        (hop::ERROR_MESSAGE, "of the hop before"),
    ];
    let record = record("coafi.git.retry.5s", 7, &before);
    let output = Staged { report: failed(fail(Class::Transient)), ..world.output(record, world.retry_topic(1)) };
    world.check(&output, 1, expect_file!["../../../tests/golden/dispatch/retry_of_a_retry.txt"]);
}

#[tokio::test]
async fn an_outcome_names_its_redrive_and_where_the_record_first_stood() {
    let world = World::new().await;
    let headers = [
        (hop::REDRIVE, "3"),
        (hop::ORIGIN_TOPIC, "coafi.git"),
        (hop::ORIGIN_PARTITION, "1"),
        (hop::ORIGIN_OFFSET, "42"),
    ];
    let outcome =
        async |topic| world.outcome_of(&world.output(record(topic, 7, &headers), Disposition::Processed)).await;
    let hop = outcome("coafi.git.retry.5s").await;
    assert_eq!(hop.redrive, 3);
    assert_eq!(hop.origin.map(|place| place.to_string()).as_deref(), Some("coafi.git[1]@42"));
    let first = outcome("coafi.git").await;
    assert_eq!((first.redrive, first.origin), (3, None), "what a source topic says of an origin is foreign");
}

#[tokio::test]
async fn a_dead_letter() {
    let world = World::new().await;
    let disposition = Disposition::DeadLetter { class: Class::Permanent };
    let output =
        Staged { report: failed(fail(Class::Permanent)), ..world.output(event("coafi.git.retry.1m"), disposition) };
    world.check(&output, 1, expect_file!["../../../tests/golden/dispatch/dead_letter.txt"]);
}

#[tokio::test]
async fn an_outcome() {
    let world = World::new().await;
    let success = Success {
        message: "done".into(),
        workflow_id: Some("wf-1".into()),
        data: serde_json::json!({"n": 1}),
        files_processed: Some(2),
        steps: vec![Step { kind: "FILE_PROCESSED".into(), detail: serde_json::json!({"filePath": "a.md"}) }],
        ..Success::default()
    };
    let output = Staged { report: succeeded(success), ..world.output(event("coafi.git"), Disposition::Processed) };
    world.check(&output, 0, expect_file!["../../../tests/golden/dispatch/outcome.txt"]);
    let outcome = world.outcome_of(&output).await;
    let steps: Vec<_> = outcome.steps.iter().map(|step| &*step.kind).collect();
    let expected = [
        "EVENT_RECEIVED",
        "EVENT_VALIDATED",
        "HANDLER_INVOKED",
        "FILE_PROCESSED",
        "WORKFLOW_INITIATED",
        "EVENT_PROCESSED",
    ];
    assert_eq!(steps, expected);
    assert_eq!((outcome.utids.len(), outcome.handlers.len(), outcome.topic_id.as_ref()), (2, 1, "topic-id"));
}

#[tokio::test]
async fn a_handlers_error_names_the_event_and_says_what_became_of_it() {
    let world = World::new().await;
    let steps_of = async |report: Option<Report>, class: Class| {
        let disposition = Disposition::DeadLetter { class };
        world.outcome_of(&Staged { report, ..world.output(event("coafi.git"), disposition) }).await.steps
    };
    for (class, kind) in [
        (Class::Permanent, "EVENT_PROCESSING_FAILED"),
        (Class::Panic, "EVENT_PROCESSING_FAILED"),
        (Class::Deadline, "EVENT_PROCESSING_FAILED"),
        (Class::Invalid, "EVENT_VALIDATION_FAILED"),
    ] {
        let steps = steps_of(failed(fail(class.clone())), class).await;
        let kinds: Vec<_> = steps.iter().map(|step| &*step.kind).collect();
        let expected =
            ["EVENT_RECEIVED", "EVENT_VALIDATED", "HANDLER_INVOKED", "HANDLER_ERROR", kind, "EVENT_DEAD_LETTERED"];
        assert_eq!(kinds, expected);
        let detail: serde_json::Value = serde_json::from_str(&steps[3].detail).unwrap();
        assert_eq!(detail, serde_json::json!({"eventId": "id-7", "error": fail(Class::Permanent).message}));
    }
    // What failed before any handler ran is none's error.
    let before = HandlerRun { handler: None, took: Duration::ZERO, result: Err(fail(Class::Permanent).into()) };
    let steps = steps_of(report(vec![before]), Class::Permanent).await;
    assert!(steps.iter().all(|step| step.kind != "HANDLER_ERROR"), "{steps:?}");
}

#[tokio::test]
async fn a_derived_event() {
    let world = World::new().await;
    let new = NewEvent {
        topic: "coafi.workflow".into(),
        id: "derived-1".into(),
        source: "/coafi/git".into(),
        event_type: "workflow.requested".into(),
        subject: Some("main".into()),
        workflow_hops: None,
        tenant: None,
        key: "repo".into(),
        data: (&b"\0\0\0\0\x01data"[..]).into(),
    };
    let success = Success { emit: vec![new], ..Success::default() };
    let output = Staged { report: succeeded(success), ..world.output(event("coafi.git"), Disposition::Processed) };
    world.check(&output, 1, expect_file!["../../../tests/golden/dispatch/derived.txt"]);
    // Also when another handler failed: the one that derived it will not run again.
    let mut moved = Staged { disposition: world.retry_topic(0), ..output };
    let report = moved.report.as_mut().unwrap();
    report.runs.extend(failed(fail(Class::Transient)).unwrap().runs);
    let topics: Vec<_> = world.render(&moved).iter().map(|record| record.topic.to_string()).collect();
    assert_eq!(topics, ["coafi.bitt.records", "coafi.git.retry.5s", "coafi.workflow"]);
}

#[tokio::test]
async fn what_a_failure_says_of_the_dead_letter_follows_that_and_no_retry() {
    let world = World::new().await;
    let new = NewEvent {
        topic: "coafi.workflow".into(),
        id: "failed-1".into(),
        source: "/coafi/workflows/W".into(),
        event_type: "workflow.failed".into(),
        subject: None,
        workflow_hops: None,
        tenant: None,
        key: "wf-1".into(),
        data: (&b"\0\0\0\0\x01data"[..]).into(),
    };
    let report = failed(Failure { on_dead_letter: Some(Box::new(new)), ..fail(Class::Transient) });
    let class = Class::Transient;
    for (disposition, expected) in [
        (world.retry_topic(0), &["coafi.bitt.records", "coafi.git.retry.5s"][..]),
        (Disposition::Halted { class: class.clone() }, &["coafi.bitt.records"]),
        (Disposition::DeadLetter { class }, &["coafi.bitt.records", "coafi.git.dlq", "coafi.workflow"]),
    ] {
        let output = Staged { report: report.clone(), ..world.output(event("coafi.git"), disposition) };
        let topics: Vec<_> = world.render(&output).iter().map(|record| record.topic.to_string()).collect();
        assert_eq!(topics, expected);
    }
}

#[tokio::test]
async fn every_disposition_has_its_outcome_and_its_record() {
    let world = World::new().await;
    let class = Class::Transient;
    for (disposition, kind, last_step, topic) in [
        (Disposition::Processed, OutcomeKind::Processed, "EVENT_RECEIVED", None),
        (Disposition::Duplicate { first_seen: Offset(3) }, OutcomeKind::Duplicate, "EVENT_DUPLICATE", None),
        (Disposition::Filtered, OutcomeKind::Filtered, "EVENT_FILTERED", None),
        (
            Disposition::RetryInPlace { class: class.clone(), due: world.clock.now() },
            OutcomeKind::RetriedInPlace,
            "EVENT_RETRY_SCHEDULED",
            None,
        ),
        (world.retry_topic(1), OutcomeKind::RetriedTopic, "EVENT_RETRY_SCHEDULED", Some("coafi.git.retry.1m")),
        (
            Disposition::DeadLetter { class: Class::Crash },
            OutcomeKind::DeadLettered,
            "EVENT_DEAD_LETTERED",
            Some("coafi.git.dlq"),
        ),
        (Disposition::Unprocessed, OutcomeKind::Unprocessed, "EVENT_UNPROCESSED", Some("coafi.unprocessed")),
        (Disposition::Halted { class }, OutcomeKind::Halted, "EVENT_HALTED", None),
    ] {
        let output = world.output(event("coafi.git"), disposition);
        let records = world.render(&output);
        let outcome = world.outcome(&records[0]).await;
        assert_eq!((outcome.outcome, &*outcome.steps.last().unwrap().kind), (kind, last_step));
        assert_eq!(records.get(1).map(|record| &*record.topic), topic, "{kind:?}");
        assert_eq!(records[0].key.as_deref(), Some(&b"id-7"[..]));
        if let Some(forwarded) = records.get(1) {
            let record = output.payload.record();
            assert_eq!((forwarded.key.as_deref(), forwarded.value.as_deref()), (record.key(), record.value()));
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_dead_lettered_untouched_and_says_why() {
    let world = World::new().await;
    let mut builder = RecordBuilder::new(Some(b"\xffkey"), Some(b"\x00\xff\xfe"), 0);
    builder.header(b"\xff\xfe", Some(b"\xff"));
    builder.header(b"null", None);
    let record = builder.build("coafi.git".into(), 3, Offset(7), None);
    let output =
        Staged { attempt: 0, done: 0, ..world.output(record, Disposition::DeadLetter { class: Class::Poison }) };
    let records = world.render(&output);
    let (outcome, letter) = (world.outcome(&records[0]).await, &records[1]);
    assert_eq!((letter.key.as_deref(), letter.value.as_deref()), (Some(&b"\xffkey"[..]), Some(&b"\x00\xff\xfe"[..])));
    assert_eq!(letter.headers.iter().next(), Some((&b"\xff\xfe"[..], Some(&b"\xff"[..]))));
    assert_eq!(letter.headers.text(hop::ERROR_CODE), Some("not_an_event"));
    assert!(outcome.error.is_some_and(|error| error.contains("\"id\"")));
    assert_eq!((outcome.event_id, records[0].key.as_deref()), (None, Some(&b"coafi.git[3]"[..])));
    let kinds: Vec<_> = outcome.steps.iter().map(|step| step.kind.to_string()).collect();
    assert_eq!(kinds, ["EVENT_RECEIVED", "EVENT_VALIDATION_FAILED", "EVENT_DEAD_LETTERED"]);
}

#[tokio::test]
async fn unprocessed_says_that_there_is_no_route() {
    let world = World::new().await;
    let mut builder = RecordBuilder::new(None, Some(b"v"), 0);
    for (name, value) in [("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "unknown")] {
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    let record = builder.build("coafi.git".into(), 0, Offset(1), None);
    let output = Staged { route: None, attempt: 0, ..world.output(record, Disposition::Unprocessed) };
    let records = world.render(&output);
    let reason = "no route takes type \"unknown\" from source \"/s\"";
    assert_eq!(records[1].headers.text(hop::REASON), Some(reason));
    let steps = world.outcome(&records[0]).await.steps;
    assert!(steps.iter().any(|step| step.kind == "EVENT_UNPROCESSED" && step.detail.contains("no route takes type")));
}

#[tokio::test]
async fn a_record_that_does_not_fit_its_retry_topic_is_dead_lettered() {
    let world = World::new().await;
    let mut builder = RecordBuilder::new(Some(b"k"), Some(&vec![1; LIMIT - 150]), 0);
    for (name, value) in [("ce_id", "id-7"), ("ce_source", "/s"), ("ce_type", "t")] {
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    let record = builder.build("coafi.git".into(), 0, Offset(1), None);
    let output = Staged { report: failed(fail(Class::Transient)), ..world.output(record, world.retry_topic(0)) };
    let records = world.render(&output);
    assert_eq!(&*records[1].topic, "coafi.git.dlq");
    assert_eq!(records[1].value.as_deref(), output.payload.record().value());
    let outcome = world.outcome(&records[0]).await;
    assert_eq!(outcome.outcome, OutcomeKind::DeadLettered);
    assert!(outcome.steps.last().unwrap().detail.contains("does not fit coafi.git.retry.5s"));
}

#[tokio::test]
async fn attempts_and_moves_have_ids_of_their_own() {
    let world = World::new().await;
    let id = |output: &Staged| world.render(output)[0].headers.text("ce_id").unwrap().to_owned();
    let first = world.output(event("coafi.git"), Disposition::Halted { class: Class::Transient });
    assert_eq!(id(&first), "cluster/topic-id/3/7//2");
    let moved = Staged { overflow: true, ..first.clone() };
    assert_eq!(id(&moved), "cluster/topic-id/3/7//2/moved");
    assert_eq!(id(&Staged { attempt: 3, ..first }), "cluster/topic-id/3/7//3");
    let other = world.output(event("coafi.git.retry.5s"), Disposition::Processed);
    assert_eq!(id(&other), "cluster/coafi.git.retry.5s/3/7//2", "a topic without a known id stands for itself");
    assert_eq!(other.route, Some(RouteId(0)));
}

#[tokio::test]
async fn lost_offsets_have_an_audit_record() {
    let world = World::new().await;
    let source = TopicPartition { topic: "coafi.git".into(), partition: 3 };
    let lost = world.renderer.audit().lost(&source, Offset(10), crate::event::NextOffset(20), RECEIVED_MS);
    let outcome = world.outcome(&lost).await;
    assert_eq!((outcome.outcome, outcome.offset, outcome.lost_to_offset), (OutcomeKind::Lost, 10, Some(20)));
    assert!(outcome.error.is_some_and(|error| error.contains("10 to 19")));
    let steps: Vec<_> = outcome.steps.iter().map(|step| (&*step.kind, &*step.detail, step.at)).collect();
    assert_eq!(steps, [("EVENT_LOST", r#"{"from":10,"to":19}"#, Some(RECEIVED_MS))]);
}
