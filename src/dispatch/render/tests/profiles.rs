//! What tools of others read on our retries and dead letters: golden files, byte for byte.

use std::fmt::Write as _;

use expect_test::{ExpectFile, expect_file};

use super::*;

impl World {
    fn retried(&self, record: Record) -> (Outgoing, Disposition) {
        let disposition = self.retry_topic(0);
        let output = Staged { report: failed(fail(Class::Transient)), ..self.output(record, disposition.clone()) };
        (self.render(&output).remove(1), disposition)
    }

    fn dead_lettered(&self, record: Record, failure: Failure) -> Outgoing {
        let disposition = Disposition::DeadLetter { class: failure.class.clone() };
        let output = Staged { report: failed(failure), ..self.output(record, disposition) };
        self.render(&output).remove(1)
    }

    /// Retried by topic, then dead-lettered.
    fn check_profile(&self, golden: ExpectFile) {
        let (retry, disposition) = self.retried(event("coafi.git"));
        let letter = self.dead_lettered(polled(&retry), fail(Class::Transient));
        let due = outcome::due(&disposition, &self.clock).unwrap();
        golden.assert_eq(&[dump(&retry, Some(due)), dump(&letter, None)].join("\n"));
    }
}

/// As it comes back from its topic, one hop later.
fn polled(record: &Outgoing) -> Record {
    let mut builder = RecordBuilder::new(record.key.as_deref(), record.value.as_deref(), 0);
    record.headers.iter().for_each(|(name, value)| builder.header(name, value));
    builder.build(Arc::clone(&record.topic), 1, Offset(99), Some(RECEIVED_MS))
}

/// Each header with its bytes, and as text where they are text. The time that a retry is due is the test's own.
fn dump(record: &Outgoing, due_ms: Option<i64>) -> String {
    let as_text = due_ms.map(|ms| ms.to_string().into_bytes());
    // A time of this century has six bytes, the highest bit not set.
    let as_integer = due_ms.map(|ms| ms.to_be_bytes()[2..].to_vec());
    let mut text = format!("topic {}\n", record.topic);
    for (name, value) in record.headers.iter() {
        let (name, value) = (String::from_utf8_lossy(name), value.expect("none of these is null"));
        if as_text.as_deref() == Some(value) || as_integer.as_deref() == Some(value) {
            writeln!(text, "{name} = <due>").unwrap();
            continue;
        }
        let hex: Vec<_> = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = if value.iter().all(|&byte| byte == b'\n' || byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            format!(" {:?}", String::from_utf8_lossy(value))
        } else {
            String::new()
        };
        writeln!(text, "{name} = {}{shown}", hex.join(" ")).unwrap();
    }
    text
}

#[tokio::test]
async fn headers_of_each_profile() {
    for (profile, golden) in [
        (HeaderProfile::Coafi, expect_file!["../../../../tests/golden/dispatch/profile_coafi.txt"]),
        (HeaderProfile::Spring, expect_file!["../../../../tests/golden/dispatch/profile_spring.txt"]),
        (HeaderProfile::Connect, expect_file!["../../../../tests/golden/dispatch/profile_connect.txt"]),
        (HeaderProfile::Streams, expect_file!["../../../../tests/golden/dispatch/profile_streams.txt"]),
    ] {
        World::with(profile).await.check_profile(golden);
    }
}

fn names(record: &Outgoing) -> Vec<String> {
    record.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

/// However often it comes round, through their tools and ours: no name stands there twice, and no header is added after the
/// first time.
#[tokio::test]
async fn headers_do_not_grow_from_hop_to_hop() {
    for (_, profile) in HeaderProfile::ALL {
        let world = World::with(profile).await;
        let mut letter = world.dead_lettered(event("coafi.git"), fail(Class::Transient));
        let first = names(&letter);
        for _ in 0..3 {
            let back = Outgoing { topic: "coafi.git".into(), ..letter };
            let (retry, _) = world.retried(polled(&back));
            letter = world.dead_lettered(polled(&retry), fail(Class::Transient));
        }
        let mut again = names(&letter);
        again.sort_unstable();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(again, sorted, "{profile:?}");
        again.dedup();
        assert_eq!(again.len(), first.len(), "{profile:?}: a name stands there twice");
    }
}

/// Their headers on what comes in are replaced where we write them, and foreign where we do not.
#[tokio::test]
async fn foreign_headers_of_the_same_names_are_replaced() {
    let theirs = [("kafka_dlt-original-topic", "elsewhere"), ("kafka_dlt-original-topic", "before that")];
    for (profile, topics) in [
        (HeaderProfile::Spring, vec!["coafi.git"]),
        (HeaderProfile::Streams, vec!["elsewhere", "before that"]),
        (HeaderProfile::Coafi, vec!["elsewhere", "before that"]),
    ] {
        let world = World::with(profile).await;
        let letter = world.dead_lettered(record("coafi.git", 7, &theirs), fail(Class::Permanent));
        let found = letter.headers.iter().filter(|(name, _)| *name == b"kafka_dlt-original-topic");
        let found: Vec<_> = found.map(|(_, value)| String::from_utf8_lossy(value.unwrap()).into_owned()).collect();
        assert_eq!(found, topics, "{profile:?}");
    }
}

/// A retry topic's headers of theirs are written and not believed: ours decide.
#[tokio::test]
async fn their_headers_on_a_retry_topic_decide_nothing() {
    let world = World::with(HeaderProfile::Spring).await;
    let headers =
        [(hop::ATTEMPT, "2"), ("retry_topic-attempts", "\0\0\0\u{7f}"), ("retry_topic-backoff-timestamp", "x")];
    let delivery = delivery(&world.routing, record("coafi.git.retry.5s", 7, &headers));
    let hop = delivery.hop.as_ref().expect("it stands on a retry topic");
    assert_eq!((hop.attempts, hop.not_before_ms), (2, None));
}

/// What the broker counts for a record, at most.
fn size(record: &Outgoing) -> usize {
    let headers: usize = record.headers.iter().map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len) + 2 * 5).sum();
    61 + 36
        + record.key.as_ref().map_or(0, |key| key.len())
        + record.value.as_ref().map_or(0, |value| value.len())
        + headers
}

/// For our facts and the attributes of the record below.
const ROOM_FOR_ATTRIBUTES: usize = 1_000;

#[tokio::test]
async fn a_dead_letter_at_the_limit_fits_with_every_profile() {
    let long = || Failure { message: "m".repeat(9_000), ..fail(Class::Permanent) };
    for (name, profile) in HeaderProfile::ALL {
        let world = World::with(profile).await;
        for room in [0, 200, 1_000, 3_000, 6_000, 9_000] {
            let mut builder = RecordBuilder::new(Some(b"k"), Some(&vec![1; LIMIT - 250 - room]), 0);
            for (name, value) in [("ce_id", "id-7"), ("ce_source", "/s"), ("ce_type", "t")] {
                builder.header(name.as_bytes(), Some(value.as_bytes()));
            }
            let record = builder.build("coafi.git".into(), 0, Offset(1), None);
            let letter = world.dead_lettered(record.clone(), long());
            assert!(size(&letter) <= LIMIT, "{name}, {room} bytes of room: {}", size(&letter));
            assert_eq!(letter.value.as_deref(), record.value(), "{name}: the value is the original's");
            let keeps_attributes = letter.headers.text("ce_id") == Some("id-7");
            assert!(keeps_attributes || room < ROOM_FOR_ATTRIBUTES, "{name}: they outlive what is for other tools");
        }
    }
}
