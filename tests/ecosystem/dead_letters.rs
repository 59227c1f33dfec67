//! Dead letters as Spring Kafka, Kafka Connect and Kafka Streams read them, each with the profile that is for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::event::{attributes, commit_data};
use crate::process::Process;
use crate::tools::{java, objects, printed};
use crate::topic::Record;
use crate::world::World;

/// A world whose dead letters have this profile: one event that was retried by topic before, and one that is poison.
struct Letters {
    world: World,
    retried: i64,
    poison: i64,
}

impl Letters {
    fn with(profile: &str) -> Self {
        let world = World::new(profile);
        let nowhere = world.path("nowhere");
        let value = world.commits.encode(&commit_data(nowhere.to_str().unwrap(), &"7".repeat(40)));
        let commit = Record { key: Some("lost".into()), value: Some(value), ..attributes("git.commit", "/ecosystem") };
        // It came out of a dead-letter topic of somebody else: what that says is not ours.
        let commit = commit.with("kafka_dlt-original-topic", "elsewhere").with("__streams.errors.topic", "elsewhere");
        let commit = commit.with("__connect.errors.topic", "elsewhere");
        let poison = Record { value: Some(b"\xff\x00 no Avro".to_vec()), ..world.push("poison") };
        let (retried, poison) = (world.send(&commit), world.send(&poison));
        let mut consume = world.command(&["consume"]);
        consume.env("COAFI__DEAD_LETTERS__HEADERS", profile);
        let replica = Process::start(consume);
        world.until_ended(2);
        replica.terminate();
        assert_eq!(replica.ended().code(), Some(0));
        assert_eq!(world.dead_letters().len(), 2);
        Self { world, retried, poison }
    }

    fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.world.topic)
    }

    /// What a reader understood, by the offset that the record had in its source topic.
    fn by_offset(&self, understood: Vec<Value>) -> BTreeMap<i64, Value> {
        let by_offset: BTreeMap<i64, Value> =
            understood.into_iter().map(|letter| (letter["offset"].as_i64().expect("a number"), letter)).collect();
        assert_eq!(by_offset.keys().copied().collect::<Vec<_>>(), [self.retried, self.poison]);
        for letter in by_offset.values() {
            assert_eq!((&letter["topic"], &letter["partition"]), (&json!(self.world.topic), &json!(0)), "{letter}");
            let first_line = format!("{}: ", exception(letter));
            assert!(letter["stackTrace"].as_str().unwrap().starts_with(&first_line), "{letter}");
            assert!(letter["stackTrace"].as_str().unwrap().contains("\n\tat "), "{letter}");
        }
        by_offset
    }

    /// What the dead letter says in our own headers.
    fn ours(&self, offset: i64, header: &str) -> String {
        let letters = self.world.dead_letters();
        let letter =
            letters.iter().find(|read| read.record.header("coafi-origin-offset") == Some(&*offset.to_string()));
        letter.and_then(|read| read.record.header(header)).unwrap_or_default().to_owned()
    }
}

/// The more exact of the names that stand for an exception.
fn exception(letter: &Value) -> &str {
    letter.get("cause").unwrap_or(&letter["exception"]).as_str().unwrap()
}

fn all_true(compared: &Value, expected: usize) {
    let compared = compared.as_object().unwrap();
    assert_eq!(compared.len(), expected, "{compared:?}");
    assert!(compared.values().all(|same| same == true), "{compared:?}");
}

#[test]
fn spring_reads_what_its_own_recoverer_writes() {
    let letters = Letters::with("spring");
    let (topic, retries) = (letters.dead_letter_topic(), format!("{}.retry.1s", letters.world.topic));
    let read = printed(java("SpringReader.java", &[&letters.world.stack.kafka, &topic, &retries, "3"]));
    let (retries, understood): (Vec<_>, Vec<_>) = objects(&read).into_iter().partition(|read| read["kind"] == "retry");
    let understood = letters.by_offset(understood);
    let (retried, poison) = (&understood[&letters.retried], &understood[&letters.poison]);
    for (letter, offset, class) in [(retried, letters.retried, "transient"), (poison, letters.poison, "poison")] {
        assert_eq!(letter["group"], json!(letters.world.group));
        assert_eq!(letter["exception"], json!(format!("coafi.{class}")));
        assert_eq!(letter["cause"], json!(format!("coafi.{class}.{}", letters.ours(offset, "coafi-error-code"))));
        assert_eq!(letter["message"], json!(letters.ours(offset, "coafi-error-message")));
        let timestamp = format!("{}:{}", letter["timestampType"].as_str().unwrap(), letter["timestamp"]);
        assert_eq!(timestamp, letters.ours(offset, "coafi-origin-timestamp"));
        // All that its recoverer writes about such a record.
        all_true(&letter["asSpringWrites"], 10);
    }
    // Two in place and one after the retry topic; Spring counts the one that comes next.
    assert_eq!((&retried["attempts"], &retries[0]["attempts"]), (&json!(4), &json!(3)));
    assert_eq!(retries.len(), 1);
    assert_eq!(retries[0]["originalTimestamp"], retried["timestamp"]);
    let (due, first) = (retries[0]["due"].as_i64().unwrap(), retried["timestamp"].as_i64().unwrap());
    assert!((first..first + 600_000).contains(&due), "{due} is soon after {first}");
}

#[test]
fn streams_reads_what_its_own_handler_writes() {
    let letters = Letters::with("streams");
    let state = letters.world.path("streams");
    let topic = letters.dead_letter_topic();
    let args = [&*letters.world.stack.kafka, &*topic, "2", state.to_str().unwrap()];
    let understood = letters.by_offset(objects(&printed(java("StreamsReader.java", &args))));
    for (offset, class) in [(letters.retried, "transient"), (letters.poison, "poison")] {
        let (letter, code) = (&understood[&offset], letters.ours(offset, "coafi-error-code"));
        assert_eq!(letter["exception"], json!(format!("coafi.{class}.{code}")));
        assert_eq!(letter["message"], json!(letters.ours(offset, "coafi-error-message")));
        all_true(&letter["asStreamsWrites"], 6);
    }
}

#[test]
fn connect_reads_what_its_own_reporter_writes() {
    let letters = Letters::with("connect");
    let topic = letters.dead_letter_topic();
    let args = [&*letters.world.stack.kafka, &*topic, "2"];
    let understood = letters.by_offset(objects(&printed(java("ConnectReader.java", &args))));
    for (offset, class, stage, name) in [
        (letters.retried, "transient", "TASK_PUT", "coafi.handlers.git_commit"),
        (letters.poison, "poison", "VALUE_CONVERTER", "coafi.handlers.git_ref"),
    ] {
        let (letter, code) = (&understood[&offset], letters.ours(offset, "coafi-error-code"));
        assert_eq!(letter["exception"], json!(format!("coafi.{class}.{code}")));
        assert_eq!(letter["message"], json!(letters.ours(offset, "coafi-error-message")));
        assert_eq!((&letter["connector"], &letter["task"]), (&json!(letters.world.group), &json!(0)));
        assert_eq!((&letter["stage"], &letter["className"]), (&json!(stage), &json!(name)));
        // All that its reporter writes, the exception's name and trace included.
        all_true(&letter["asConnectWrites"], 10);
    }
}
