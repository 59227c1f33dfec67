//! What the log says of failures.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::dispatch::render::FailureLog;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines about these outputs, each committed once.
fn lines(world: &World, payload_bytes: usize, outputs: &[Staged]) -> Vec<Value> {
    lines_of(&FailureLog::new(&Settings { logged_payload_bytes: payload_bytes, ..Settings::default() }), world, outputs)
}

fn lines_of(log: &FailureLog, world: &World, outputs: &[Staged]) -> Vec<Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        outputs.iter().for_each(|output| log.tell(&world.renderer, output, &world.clock));
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_replay_does_not_claim_a_dead_letter() {
    let world = World::new().await;
    let dead = Staged {
        report: failed(fail(Class::Permanent)),
        ..world.output(record("coafi.git", 7, &[]), Disposition::DeadLetter { class: Class::Permanent })
    };
    let told = lines_of(
        &FailureLog::new(&Settings { logged_payload_bytes: 4, replaying: true, ..Settings::default() }),
        &world,
        &[dead],
    );
    let [line] = told.as_slice() else { panic!("one line: {told:?}") };
    assert_eq!(line["message"], "an event failed for good; a replay writes no dead letters");
    assert_eq!(line.get("to"), None);
}

#[tokio::test]
async fn a_failure_is_told_with_all_that_is_needed_to_find_it() {
    let world = World::new().await;
    let record = || record("coafi.git", 7, &[("ce_correlationid", "corr")]);
    let dead_letter = |class| Disposition::DeadLetter { class };
    let failure = Failure { errors: vec!["a: missing".into()], ..fail(Class::Invalid) };
    let invalid = Staged { report: failed(failure), ..world.output(record(), dead_letter(Class::Invalid)) };
    let told = lines(&world, 4, &[invalid]);
    let [line] = told.as_slice() else { panic!("one line: {told:?}") };
    for (field, expected) in [
        ("level", "ERROR"),
        ("message", "an event was dead-lettered"),
        ("event_id", "id-7"),
        ("event_type", "t"),
        ("source", "/source"),
        ("correlation_id", "corr"),
        ("topic", "coafi.git"),
        ("route", "r"),
        ("class", "invalid"),
        ("code", "scripted"),
        ("error", "as the script says"),
        ("errors", "a: missing"),
        ("location", "src/handlers/b.rs:7:5"),
        ("to", "coafi.git.dlq"),
        ("payload", "{\\\"n\\\""),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    let numbers = ["partition", "offset", "attempt", "payload_bytes"].map(|field| line[field].as_i64().unwrap());
    assert_eq!(numbers, [3, 7, 2, 7], "{line}");
}

#[tokio::test]
async fn each_kind_of_failure_has_its_level_and_the_others_are_silent() {
    let world = World::new().await;
    let class = Class::Transient;
    for (disposition, level) in [
        (Disposition::Processed, None),
        (Disposition::Duplicate { first_seen: Offset(3) }, None),
        (Disposition::Filtered, None),
        (world.retry_topic(0), Some("INFO")),
        (Disposition::RetryInPlace { class: class.clone(), due: world.clock.now() }, Some("INFO")),
        (Disposition::Unprocessed, Some("WARN")),
        (Disposition::DeadLetter { class: Class::Crash }, Some("ERROR")),
        (Disposition::Halted { class }, Some("ERROR")),
    ] {
        let told = lines(&world, 0, &[world.output(event("coafi.git"), disposition.clone())]);
        assert_eq!(told.first().map(|line| line["level"].as_str().unwrap()), level, "{disposition:?}");
        assert!(told.iter().all(|line| line.get("payload").is_none()), "no data is shown: {told:?}");
    }
}

#[tokio::test]
async fn a_line_is_bounded_whatever_the_event_holds() {
    let world = World::new().await;
    let long = "x".repeat(50_000);
    let mut builder = RecordBuilder::new(Some(b"key"), Some(&[0; 50_000]), 256);
    for (name, value) in [("ce_specversion", "1.0"), ("ce_id", &long), ("ce_source", &long), ("ce_type", "t")] {
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    let record = builder.build("coafi.git".into(), 3, Offset(1), None);
    let failure = Failure { errors: vec![long.clone()], ..Failure::permanent("huge", &long) };
    let output =
        Staged { report: failed(failure), ..world.output(record, Disposition::DeadLetter { class: Class::Permanent }) };
    let told = lines(&world, 512, &[output]);
    assert!(told[0].to_string().len() < 10_000, "{}", told[0].to_string().len());
}
