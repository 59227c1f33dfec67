//! Dead letters and unprocessed events, as an operator meets them: found, looked at, sent again, given up; and what is said
//! of each is what became of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coafi_testcontainers::Kafka;
use serde_json::{Value, json};

use crate::event::{Subject, attributes};
use crate::process::{Ended, Process, eventually, found};
use crate::stack::{Stack, unique};
use crate::terminal::in_a_terminal;
use crate::topic::{Positions, Read, Record, ends, read, reset};
use crate::world::{UNPROCESSED, World};

const DRILL: &str = "org.coafi.events.DrillStepEventPayload";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// What takes drills until an operator changes it.
const FAILING: &str = "handler: drill\n    retry: {in_place: {attempts: 1}}";
/// The handler that was repaired.
const REPAIRED: &str = "handler: noop";

struct Drills {
    world: World,
    steps: Subject,
}

impl Drills {
    fn new(name: &str) -> Self {
        Self::on(Stack::shared(), name)
    }

    fn on(stack: Stack, name: &str) -> Self {
        let world = World::with_schema(stack, name, DRILL, "coafi.dlq.state");
        let route =
            format!("  - name: drills\n    match: {{type: drill.step, topic: {}}}\n    {FAILING}\n", world.topic);
        world.change_routes(|routes| routes + &route);
        let steps = Subject::latest(&world.stack.registry, &world.topic, DRILL);
        Self { world, steps }
    }

    fn repair(&self) {
        self.world.change_routes(|routes| routes.replace(FAILING, REPAIRED));
    }

    /// A drill that fails the first `times` attempts.
    fn step(&self, key: &str, action: &str, times: i32) -> Record {
        let data = json!({"key": key, "sequence": 1, "action": action, "times": times, "emit": false, "write": false});
        let record = Record {
            key: Some(key.into()),
            value: Some(self.steps.encode(&data)),
            ..attributes("drill.step", "/drills")
        };
        record.with("traceparent", TRACEPARENT).with("x-foreign", "kept")
    }

    fn permanent(&self, key: &str) -> Record {
        self.step(key, "permanent", 9)
    }

    /// Sends records and has them dead-lettered.
    fn dead(&self, records: &[Record]) {
        for record in records {
            self.world.send(record);
        }
        self.world.consume();
    }

    fn dlq(&self) -> String {
        format!("{}.dlq", self.world.topic)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.world.run(&[arguments, &["--output", "json"]].concat())
    }

    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let list = self.run(&[&["dlq", "list", "--topic", &self.world.topic], arguments].concat()).json();
        list["letters"].as_array().unwrap().clone()
    }

    fn redrive(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>, Value) {
        let topic = ["dlq", "redrive", "--topic", &*self.world.topic];
        fates(&self.run(&[&topic, arguments].concat()))
    }

    /// Where the source topic ends, whatever of it is committed.
    fn written(&self) -> i64 {
        ends(&self.world.stack.kafka, &self.world.topic)[&0]
    }

    /// The group passes all that is in the source topic, and nothing is handled.
    fn pass(&self) {
        let World { stack, group, topic, .. } = &self.world;
        reset(&stack.kafka, group, topic, &ends(&stack.kafka, topic));
    }

    /// The program with another address for one of its servers, where nobody answers.
    fn without(&self, server: &str, arguments: &[&str]) -> Ended {
        let mut command = self.world.command(&[&["--output", "json"], arguments].concat());
        command.env(server, if server.ends_with("URL") { "http://127.0.0.1:1" } else { "127.0.0.1:1" });
        Process::start(command).ended()
    }

    /// What a redrive put into the source topic.
    fn redriven(&self) -> Vec<Read> {
        let all = read(&self.world.stack.kafka, &self.world.topic, &Positions::new());
        all.into_iter().filter(|read| read.record.header("coafi-redrive").is_some()).collect()
    }
}

/// Exit code, what was said of each record, and the summary.
fn fates(ended: &Ended) -> (Option<i32>, Vec<Value>, Value) {
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let mut lines: Vec<Value> = lines.collect();
    let mut summary = lines.pop().unwrap_or_else(|| panic!("no summary: {}", ended.stderr));
    (ended.code(), lines, summary["summary"].take())
}

fn by_word(fates: &[Value], member: &str) -> BTreeMap<String, usize> {
    fates.iter().fold(BTreeMap::new(), |mut counts, fate| {
        *counts.entry(fate[member].as_str().unwrap_or("-").to_owned()).or_default() += 1;
        counts
    })
}

/// The original in all but what a redrive adds.
fn is_the_original(original: &Record, sent: &Record, number: &str) {
    assert_eq!((&sent.key, &sent.value), (&original.key, &original.value));
    let expected = original.clone().with("coafi-redrive", number);
    assert_eq!(sent.headers, expected.headers);
}

/// Each of them once, under its first redrive's number; keys have no order among each other.
fn are_the_originals(originals: &[Record], sent: &[Read]) {
    let mut left: BTreeMap<_, _> = originals.iter().map(|record| (record.header("ce_id"), record)).collect();
    for Read { record, .. } in sent {
        let original = left.remove(&record.header("ce_id")).unwrap_or_else(|| panic!("sent twice: {record:?}"));
        is_the_original(original, record, "1");
    }
    assert!(left.is_empty(), "not sent: {left:?}");
}

#[test]
fn dead_letters_are_found_by_what_they_are_and_shown_with_what_they_hold() {
    let drills = Drills::new("dlq_list");
    let poison = Record { value: Some(b"\x00\x7f\xff\xff\xffnonsense".to_vec()), ..drills.permanent("b") };
    drills.dead(&[drills.permanent("a"), drills.permanent("b"), poison]);
    let count = |arguments: &[&str]| drills.listed(arguments).len();
    for (arguments, expected) in [
        (&[][..], 3),
        (&["--class", "permanent"], 2),
        (&["--class", "poison"], 1),
        (&["--class", "permanent", "--class", "poison"], 3),
        (&["--handler", "drill"], 3),
        (&["--handler", "git_ref"], 0),
        (&["--type", "drill.*"], 3),
        (&["--type", "git.*"], 0),
        (&["--key", "b"], 2),
        (&["--key", "b", "--class", "permanent"], 1),
        (&["--filter", "data.key == 'a'"], 1),
        (&["--from", "1h"], 3),
        (&["--to", "1h"], 0),
        (&["--limit", "2"], 2),
        (&["--status", "purged"], 0),
    ] {
        assert_eq!(count(arguments), expected, "{arguments:?}");
    }
    let table = drills.world.run(&["dlq", "list", "--topic", &drills.world.topic, "--limit", "1"]).well();
    assert!(table.contains("permanent") && table.contains("1 listed, 2 more"), "{table}");

    let list = |filter: &str| {
        drills.world.run(&["dlq", "list", "--topic", &drills.world.topic, "--class", "permanent", "--filter", filter])
    };
    assert_eq!(list("data.key == 'z'").well().trim(), "nothing matches");
    assert_eq!(list("data.nosuch == 1").well().trim(), "nothing matches, and 2 could not be asked");

    let letters = drills.listed(&["--class", "permanent", "--key", "a"]);
    assert_eq!((&letters[0]["errorCode"], &letters[0]["attempts"]), (&"drill_permanent".into(), &1.into()));
    let shown = drills.run(&["dlq", "show", letters[0]["letter"].as_str().unwrap()]).json();
    assert_eq!((&shown["data"]["key"], &shown["status"]), (&"a".into(), &"waiting".into()));
    assert_eq!(shown["origin"]["topic"], drills.world.topic);
    let poison = drills.listed(&["--class", "poison"]);
    let shown = drills.run(&["dlq", "show", poison[0]["letter"].as_str().unwrap()]).json();
    assert!(shown["data"]["hex"].as_str().unwrap().starts_with("007fffffff"), "{shown}");
    assert_eq!(drills.run(&["dlq", "show", &format!("{}/0/4711", drills.dlq())]).code(), Some(1));
}

#[test]
fn a_redrive_sends_the_original_again_and_says_what_became_of_it() {
    let drills = Drills::new("dlq_redrive");
    let originals = [drills.permanent("a"), drills.permanent("b")];
    drills.dead(&originals);
    drills.repair();
    let (code, fates, _) = drills.redrive(&["--dry-run"]);
    assert_eq!((code, by_word(&fates, "fate")), (Some(0), BTreeMap::from([("would_be_sent".to_owned(), 2)])));
    assert!(drills.redriven().is_empty(), "a dry run sends nothing");

    let replica = drills.world.replica();
    let (code, fates, summary) = drills.redrive(&["--reason", "repaired", "--by", "ada"]);
    assert_eq!(
        (code, by_word(&fates, "outcome")),
        (Some(0), BTreeMap::from([("processed".to_owned(), 2)])),
        "{fates:?}"
    );
    assert_eq!((&summary["total"], &summary["fates"]["processed"]), (&2.into(), &2.into()));
    are_the_originals(&originals, &drills.redriven());
    assert!(drills.listed(&[]).is_empty(), "what was redriven is hidden");
    let done = drills.listed(&["--status", "redriven"]);
    assert_eq!((&done[0]["state"]["outcome"], &done[0]["state"]["by"]), (&"processed".into(), &"ada".into()));

    let story = drills.run(&["event", "show", originals[0].header("ce_id").unwrap()]).json();
    let steps = story["steps"].as_array().unwrap().iter();
    let kinds: Vec<_> =
        steps.map(|step| step["type"].as_str().unwrap()).filter(|kind| !kind.starts_with("HANDLER")).collect();
    let at = |kind| kinds.iter().position(|found| *found == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
    assert!(
        at("EVENT_DEAD_LETTERED") < at("EVENT_REDRIVEN") && at("EVENT_REDRIVEN") < at("EVENT_PROCESSED"),
        "{kinds:?}"
    );

    let audit = read(&drills.world.stack.kafka, "coafi.bitt.records", &Positions::new());
    let id = originals[0].header("ce_id");
    let about = audit.iter().filter(|read| read.record.header("ce_causationid") == id).map(|read| &read.record);
    let said: Vec<_> = about.filter(|record| record.header("ce_type") == Some("bitt.intervention")).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].header("ce_id").unwrap().ends_with("/EVENT_REDRIVEN/1"), "{:?}", said[0].headers);
    assert_eq!(said[0].header("traceparent"), Some(TRACEPARENT));
    assert_eq!(drills.redrive(&[]).1.len(), 0, "nothing is sent twice");
    replica.terminate();
}

#[test]
fn a_redrive_that_fails_again_is_no_success_and_the_next_one_has_the_next_number() {
    let drills = Drills::new("dlq_again");
    drills.dead(&[drills.permanent("a")]);
    let replica = drills.world.replica();
    for number in 1..=2 {
        let (code, fates, _) = drills.redrive(&[]);
        assert_eq!((code, fates.len()), (Some(1), 1), "{fates:?}");
        let fate = &fates[0];
        assert_eq!((&fate["outcome"], &fate["errorClass"]), (&"dead_lettered".into(), &"permanent".into()));
        assert_eq!((&fate["redrive"], &fate["putAwayIn"]), (&number.into(), &drills.dlq().into()));
        let waiting = drills.listed(&[]);
        assert_eq!((waiting.len(), &waiting[0]["redrive"]), (1, &number.into()), "the new dead letter waits");
    }
    let numbers: Vec<_> =
        drills.redriven().iter().map(|read| read.record.header("coafi-redrive").unwrap().to_owned()).collect();
    assert_eq!(numbers, ["1", "2"]);
    replica.terminate();
}

#[test]
fn retries_of_a_redriven_record_are_waited_for() {
    let drills = Drills::new("dlq_retries");
    drills.dead(&[drills.step("a", "transient", 2)]);
    let patient =
        "handler: drill\n    retry: {in_place: {attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [1s]}";
    drills.world.change_routes(|routes| routes.replace(FAILING, patient));
    let replica = drills.world.replica();
    let (code, fates, _) = drills.redrive(&[]);
    assert_eq!((code, &fates[0]["outcome"]), (Some(0), &"processed".into()), "{fates:?}");
    let hops = read(&drills.world.stack.kafka, &format!("{}.retry.1s", drills.world.topic), &Positions::new());
    assert_eq!(hops.len(), 1, "it took the retry topic");
    replica.terminate();
}

#[test]
fn a_redrive_that_is_killed_goes_on_where_it_was_and_sends_each_record_once() {
    const RECORDS: usize = 300;
    let drills = Drills::new("dlq_killed");
    let originals: Vec<Record> = (0..RECORDS).map(|n| drills.permanent(&format!("k{}", n % 7))).collect();
    drills.dead(&originals);
    drills.repair();
    let replica = drills.world.replica();
    let at_rate = |rate| ["dlq", "redrive", "--topic", &*drills.world.topic, "--rate", rate];
    for _ in 0..2 {
        let before = drills.written();
        let mut redrive = Process::start(drills.world.command(&at_rate("20")));
        eventually("a part of it is sent", || drills.written() >= before + 50);
        assert!(redrive.is_running(), "it was to be killed in the middle");
        redrive.kill();
    }
    let (code, _, summary) = fates(&drills.run(&at_rate("1000")));
    assert_eq!(code, Some(0), "{summary}");
    are_the_originals(&originals, &drills.redriven());
    let done = drills.listed(&["--status", "redriven"]);
    assert_eq!(done.len(), RECORDS);
    assert!(done.iter().all(|letter| letter["state"]["outcome"] == "processed"));
    replica.terminate();
}

#[test]
fn a_redrive_keeps_to_its_rate() {
    const RECORDS: usize = 40;
    const PER_SECOND: usize = 10;
    let drills = Drills::new("dlq_rate");
    drills.dead(&(0..RECORDS).map(|n| drills.permanent(&format!("k{n}"))).collect::<Vec<_>>());
    let began = Instant::now();
    let (_, fates, _) = drills.redrive(&["--no-wait", "--rate", &PER_SECOND.to_string()]);
    let took = began.elapsed();
    assert_eq!(by_word(&fates, "fate"), BTreeMap::from([("sent".to_owned(), RECORDS)]), "{fates:?}");
    assert_eq!(drills.redriven().len(), RECORDS);
    // After a pause a fifth of a second's are sent at once.
    let at_least = Duration::from_millis((RECORDS * 1_000 / PER_SECOND) as u64) - Duration::from_millis(500);
    assert!(took >= at_least, "{RECORDS} records within {took:?}");
}

#[test]
fn what_a_redrive_says_stands_above_its_bar() {
    const RECORDS: usize = 20;
    let drills = Drills::new("dlq_seen");
    drills.dead(&(0..RECORDS).map(|n| drills.permanent(&format!("k{n}"))).collect::<Vec<_>>());
    let arguments = ["dlq", "redrive", "--topic", &drills.world.topic, "--no-wait", "--rate", "10", "--output", "json"];
    let seen = in_a_terminal(&drills.world.command(&arguments), r#"exec "$COAFI" $ARGUMENTS"#);
    assert!(seen.stdout.contains("redriving ["), "{:?}", seen.stdout);
    let parts: Vec<&str> = seen.stdout.split(r#"{"letter":"#).collect();
    assert_eq!(parts.len(), RECORDS + 1, "{:?}", seen.stdout);
    // The bar has no line end: what it leaves to others it has cleared.
    for before in &parts[..RECORDS] {
        assert!(before.ends_with('\n') || before.ends_with('\r') || before.ends_with("\u{1b}[2K"), "{before:?}");
    }
}

#[test]
fn without_consumers_there_is_no_outcome_and_it_is_waited_for_later() {
    let drills = Drills::new("dlq_nobody");
    drills.dead(&[drills.permanent("a")]);
    drills.repair();
    let (code, fates, _) = drills.redrive(&["--timeout", "2s"]);
    assert_eq!((code, &fates[0]["fate"]), (Some(1), &"no_outcome".into()), "{fates:?}");
    assert_eq!(drills.listed(&[])[0]["status"], "redriving");
    let (code, fates, _) = drills.redrive(&["--no-wait"]);
    assert_eq!((code, &fates[0]["fate"]), (Some(1), &"sent".into()), "sent is not success: {fates:?}");
    drills.world.consume();
    let (code, fates, _) = drills.redrive(&["--resume"]);
    assert_eq!((code, &fates[0]["outcome"]), (Some(0), &"processed".into()), "{fates:?}");
    assert_eq!(drills.redriven().len(), 1);
}

/// A letter that does not say where it came from goes where it is told to; where it went is asked about, and not where it would go.
#[test]
fn what_still_waits_in_one_topic_is_not_sent_into_another() {
    let drills = Drills::new("dlq_into");
    let (world, topic) = (&drills.world, &*drills.world.topic);
    world.also_declare("coafi.ai");
    drills.dead(&[drills.permanent("a")]);
    drills.repair();
    world.producer.send(&drills.dlq(), &drills.permanent("foreign"));
    let nobodys = drills.run(&["dlq", "redrive", "--topic", topic, "--key", "foreign", "--into", "coafi.ai"]);
    assert_eq!(nobodys.code(), Some(2), "{}", nobodys.stderr);
    assert!(nobodys.stderr.contains("has committed nothing in coafi.ai: "), "{}", nobodys.stderr);

    let sent = drills.redrive(&["--key", "foreign", "--into", topic, "--no-wait"]).1;
    assert_eq!((sent.len(), &sent[0]["fate"]), (1, &"sent".into()), "{sent:?}");
    let lost = ["--key", "foreign", "--lost", "1ms", "--no-wait", "--into"];
    for into in [topic, "coafi.ai"] {
        let (_, fates, _) = drills.redrive(&[&lost[..], &[into]].concat());
        assert_eq!((fates.len(), &fates[0]["fate"]), (1, &"refused".into()), "{fates:?}");
        let why = fates[0]["reason"].as_str().unwrap();
        assert!(why.contains(&format!("it is not lost: {topic}[0]@")), "{why}");
    }
    assert_eq!(drills.redriven().len(), 1);
}

#[test]
fn what_is_meant_may_be_nothing_and_a_name_may_be_nobody_s() {
    let drills = Drills::new("dlq_nothing");
    let topic = &*drills.world.topic;
    drills.world.also_declare("coafi.ai");
    drills.dead(&[drills.permanent("a")]);
    let purged = drills.run(&["dlq", "purge", "--topic", topic, "--key", "nobody", "--reason", "r"]).json();
    assert_eq!(purged["purged"], 0, "nobody has to confirm that");
    let unconfirmed = drills.run(&["dlq", "purge", "--topic", topic, "--reason", "r"]);
    assert!(unconfirmed.code() == Some(1) && unconfirmed.stderr.contains("was not confirmed"), "{unconfirmed:?}");
    // The world's own topic has one partition, the other one more.
    drills.run(&["dlq", "list", "--partition", "1"]).json();
    let beyond = drills.run(&["dlq", "list", "--partition", "9999"]);
    assert!(beyond.code() == Some(2) && beyond.stderr.contains("has no partition 9999"), "{beyond:?}");

    let lag = |group: &str| drills.run(&["group", "lag", "--group", group, "--max", "0"]).code();
    assert_eq!((lag(&drills.world.group), lag("nobody")), (Some(0), Some(1)));
    let compared = drills.run(&["replay", "--topic", topic, "--group", "nobody", "--dry-run"]);
    assert!(compared.code() == Some(2) && compared.stderr.contains("there is nothing to compare with"), "{compared:?}");
}

#[test]
fn what_was_sent_and_has_no_outcome_for_long_is_sent_once_more_or_given_up() {
    let drills = Drills::new("dlq_lost");
    let originals = [drills.permanent("a"), drills.permanent("b")];
    drills.dead(&originals);
    drills.repair();
    assert_eq!(drills.redrive(&["--no-wait"]).1.len(), 2);
    let table = drills.world.run(&["dlq", "list", "--topic", &drills.world.topic]).well();
    assert_eq!(table.matches("redriving for ").count(), 2, "{table}");
    assert_eq!(drills.redrive(&["--lost", "1h", "--no-wait"]).1.len(), 0, "it was sent just now");
    let lost_b = ["dlq", "purge", "--topic", &*drills.world.topic, "--lost", "1ms", "--key", "b"];
    let purge_b = [&lost_b[..], &["--reason", "by hand", "--yes"]].concat();
    let (code, fates, _) = drills.redrive(&["--lost", "1ms", "--no-wait"]);
    assert_eq!((code, by_word(&fates, "fate")), (Some(1), BTreeMap::from([("refused".to_owned(), 2)])));
    let why = fates[0]["reason"].as_str().unwrap();
    assert!(why.contains("it is not lost: ") && why.contains(" is still to be handled by group "), "{why}");
    let purged = drills.run(&purge_b);
    assert!(purged.code() == Some(1) && purged.stderr.contains("is left alone: it is not lost"), "{}", purged.stderr);

    drills.pass();
    let (_, fates, _) = drills.redrive(&["--lost", "1ms", "--key", "a", "--dry-run"]);
    assert_eq!((fates.len(), &fates[0]["fate"], &fates[0]["redrive"]), (1, &"would_be_sent".into(), &2.into()));
    assert_eq!(drills.redriven().len(), 2, "nothing was sent by these");

    let (_, fates, _) = drills.redrive(&["--lost", "1ms", "--key", "a", "--no-wait", "--reason", "lost"]);
    assert_eq!((fates.len(), &fates[0]["fate"], &fates[0]["redrive"]), (1, &"sent".into(), &2.into()), "{fates:?}");
    let last = drills.redriven().pop().expect("three were sent");
    is_the_original(&originals[0], &last.record, "2");
    let purged = drills.run(&purge_b);
    assert_eq!(purged.json(), json!({"purged": 1}));
    assert_eq!(drills.listed(&["--status", "purged"])[0]["key"], "b");

    drills.world.consume();
    let (code, fates, _) = drills.redrive(&["--lost", "1ms"]);
    assert_eq!((code, fates.len()), (Some(0), 1), "its outcome is there: it is not sent, {fates:?}");
    assert_eq!((&fates[0]["outcome"], &fates[0]["redrive"]), (&"processed".into(), &2.into()), "{fates:?}");
    assert_eq!(drills.redriven().len(), 3);
    assert_eq!(drills.listed(&["--status", "redriven"]).len(), 1);
}

#[test]
fn what_has_come_to_an_outcome_is_not_given_up_as_lost() {
    let drills = Drills::new("dlq_not_lost");
    drills.dead(&[drills.permanent("a")]);
    drills.repair();
    assert_eq!(drills.redrive(&["--no-wait"]).1.len(), 1);
    drills.world.consume();
    let lost = ["dlq", "purge", "--topic", &*drills.world.topic, "--lost", "1ms", "--reason", "r", "--yes"];
    assert_eq!(drills.run(&lost).json(), json!({"purged": 0}));
    let done = drills.listed(&["--status", "redriven"]);
    assert_eq!((done.len(), &done[0]["state"]["outcome"]), (1, &"processed".into()));
}

#[test]
fn what_a_replay_makes_of_a_record_is_no_outcome_of_its_redrive() {
    let drills = Drills::new("dlq_replayed");
    drills.dead(&[drills.permanent("a")]);
    drills.repair();
    assert_eq!(drills.redrive(&["--no-wait"]).1.len(), 1);
    let topic = &*drills.world.topic;
    drills.world.run(&["replay", "--topic", topic, "--from", "1", "--name", "beside"]);
    let replayed = drills.world.outcomes_of(&format!("{}.replay.beside", drills.world.group));
    assert_eq!((replayed.len(), &*replayed[0].outcome), (1, "processed"));

    drills.pass();
    let lost = ["--lost", "1ms", "--dry-run"];
    let (_, fates, _) = drills.redrive(&lost);
    assert_eq!((fates.len(), &fates[0]["fate"]), (1, &"would_be_sent".into()), "{fates:?}");
    let purge = [&["dlq", "purge", "--topic", topic], &lost[..]].concat();
    assert_eq!(drills.run(&purge).json(), json!({"wouldBePurged": 1}));
    let of_another = drills.run(&[&purge[..], &["--group", &format!("{}.replay.beside", drills.world.group)]].concat());
    assert_eq!(of_another.json(), json!({"wouldBePurged": 0}), "its outcome is there");
    let purge = ["dlq", "purge", "--topic", topic, "--lost", "1ms", "--reason", "by hand", "--yes"];
    assert_eq!(drills.run(&purge).json(), json!({"purged": 1}));
    assert_eq!(drills.listed(&["--status", "redriven"]).len(), 0);
}

#[test]
fn a_letter_goes_back_to_its_partition_whoever_its_producer_is() {
    const PARTITIONS: i32 = 4;
    let world = World::spread(Stack::shared(), "dlq_placed", 4);
    world.also_declare("coafi.dlq.state");
    let dlq = format!("{}.dlq", world.topic);
    // So that no partition looks as if it were newer than a letter.
    for partition in 0..PARTITIONS {
        world.producer.send_to(&world.topic, partition, &world.push("key"));
    }
    for partition in 0..PARTITIONS {
        let number = partition.to_string();
        let letter = world.push("key").with("coafi-origin-topic", &*world.topic).with("coafi-origin-offset", "0");
        world.producer.send(&dlq, &letter.with("coafi-origin-partition", &*number).with("x-home", &*number));
    }
    let redrive = ["dlq", "redrive", "--topic", &*world.topic, "--no-wait", "--output", "json"];
    let (_, fates, _) = fates(&world.run(&redrive));
    assert_eq!(by_word(&fates, "fate"), BTreeMap::from([("sent".to_owned(), 4)]), "{fates:?}");
    let all = read(&world.stack.kafka, &world.topic, &Positions::new());
    let redriven = all.iter().filter(|read| read.record.header("coafi-redrive").is_some());
    let homes: Vec<_> = redriven.map(|read| (read.partition.to_string(), read.record.header("x-home"))).collect();
    assert_eq!(homes.len(), 4);
    assert!(homes.iter().all(|(partition, home)| Some(&**partition) == *home), "{homes:?}");
}

#[test]
fn letters_are_chosen_by_their_partition_and_by_their_source() {
    let world = World::spread(Stack::shared(), "dlq_chosen", 3);
    world.also_declare("coafi.dlq.state");
    let dlq = format!("{}.dlq", world.topic);
    // So that no partition looks as if it were newer than a letter.
    for partition in 0..3 {
        world.producer.send_to(&world.topic, partition, &world.push("key"));
    }
    for (partition, source) in [(0, "/a"), (1, "/b"), (2, "/a")] {
        let letter = Record { headers: attributes("git.push", source).headers, ..world.push("key") };
        let letter = letter.with("coafi-origin-topic", &*world.topic).with("coafi-origin-offset", "0");
        let letter = letter.with("coafi-origin-partition", partition.to_string());
        world.producer.send_to(&dlq, partition, &letter);
    }
    let dlq_of = |verb: &str, arguments: &[&str]| {
        world.run(&[&["dlq", verb, "--topic", &world.topic, "--output", "json"], arguments].concat())
    };
    // The partitions that letters are in.
    let listed = |arguments: &[&str]| {
        let list = dlq_of("list", arguments).json();
        let letters = list["letters"].as_array().unwrap().iter().map(|letter| letter["letter"].as_str().unwrap());
        let mut partitions: Vec<String> = letters.map(|id| id.split('/').nth(1).unwrap().to_owned()).collect();
        partitions.sort();
        partitions
    };
    for (arguments, expected) in [
        (&[][..], &["0", "1", "2"][..]),
        (&["--partition", "1"], &["1"]),
        (&["--partition", "0", "--partition", "2"], &["0", "2"]),
        (&["--source", "/a"], &["0", "2"]),
        (&["--source", "/b", "--source", "/c"], &["1"]),
        (&["--source", "/a", "--partition", "2"], &["2"]),
        (&["--source", "/c"], &[]),
    ] {
        assert_eq!(listed(arguments), expected, "{arguments:?}");
    }
    let none = dlq_of("redrive", &["--partition", "3", "--no-wait"]);
    assert!(none.code() == Some(2) && none.stderr.contains("partition"), "{}", none.stderr);
    let (_, fates, _) = fates(&dlq_of("redrive", &["--partition", "0", "--partition", "1", "--no-wait"]));
    assert_eq!(by_word(&fates, "fate"), BTreeMap::from([("sent".to_owned(), 2)]), "{fates:?}");
    let all = read(&world.stack.kafka, &world.topic, &Positions::new());
    let sent = all.iter().filter(|read| read.record.header("coafi-redrive").is_some());
    let mut partitions: Vec<i32> = sent.map(|read| read.partition).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    assert_eq!(listed(&["--status", "waiting"]), ["2"], "the other one is left alone");
}

#[test]
fn rubbish_among_the_outcomes_is_passed_over_and_said() {
    let kafka = Kafka::start().unwrap();
    let drills = Drills::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "dlq_rubbish");
    let original = drills.permanent("a");
    let id = original.header("ce_id").unwrap().to_owned();
    drills.dead(&[original]);
    drills.repair();
    let (partition, _) = drills.world.outcomes()[0].place;
    assert_eq!(drills.redrive(&["--no-wait"]).1.len(), 1);
    for kind in ["bitt.outcome", "bitt.intervention"] {
        let rubbish = Record { value: Some(b"nonsense".to_vec()), ..attributes(kind, "/forged") };
        let rubbish = Record { key: Some(id.clone().into_bytes()), ..rubbish };
        drills.world.producer.send_to("coafi.bitt.records", partition, &rubbish);
    }
    drills.world.consume();
    let said = |ended: &Ended| {
        assert!(ended.stderr.contains(&format!("passed over: coafi.bitt.records[{partition}]@")), "{}", ended.stderr);
    };
    let shown = drills.run(&["event", "show", &id]);
    said(&shown);
    assert_eq!(shown.json()["outcome"], "processed");
    let rehearsed = drills.run(&["dlq", "redrive", "--lost", "1ms", "--dry-run"]);
    said(&rehearsed);
    assert_eq!(fates(&rehearsed).1.len(), 0, "its outcome is there");
    let resumed = drills.run(&["dlq", "redrive", "--resume"]);
    said(&resumed);
    let (code, fates, _) = fates(&resumed);
    assert_eq!((code, &fates[0]["outcome"]), (Some(0), &"processed".into()), "{fates:?}");
}

#[test]
fn what_is_away_is_said_with_its_exit_code_and_without_a_table() {
    let drills = Drills::new("dlq_away");
    drills.dead(&[drills.permanent("a")]);
    let topic = &*drills.world.topic;
    for command in [
        &["dlq", "redrive", "--topic", topic, "--no-wait"][..],
        &["dlq", "purge", "--topic", topic, "--reason", "r", "--yes"],
    ] {
        for (server, next) in [
            ("COAFI__KAFKA__BOOTSTRAP_SERVERS", "check kafka.bootstrap_servers"),
            ("COAFI__SCHEMA_REGISTRY__URL", "check schema_registry.url"),
        ] {
            let ended = drills.without(server, command);
            assert_eq!(ended.code(), Some(3), "{command:?} without {server}: {}", ended.stderr);
            assert!(ended.stderr.contains(next), "{command:?} without {server}: {}", ended.stderr);
            assert_eq!(ended.stdout, "", "nothing was done: {command:?} without {server}");
        }
    }
    assert_eq!(drills.listed(&["--status", "waiting"]).len(), 1);
}

#[test]
fn letters_that_are_named_are_each_answered_for() {
    let drills = Drills::new("dlq_answered");
    drills.dead(&[drills.permanent("a"), drills.permanent("b"), drills.permanent("c")]);
    let letter = |key: &str, status: &str| {
        let listed = drills.listed(&["--key", key, "--status", status]);
        listed[0]["letter"].as_str().unwrap().to_owned()
    };
    let [a, b, c] = ["a", "b", "c"].map(|key| letter(key, "waiting"));
    let why = |letter: &str, arguments: &[&str]| {
        let (code, fates, _) = fates(&drills.run(&[&["dlq", "redrive", letter], arguments].concat()));
        assert_eq!((code, fates.len(), &fates[0]["fate"]), (Some(1), 1, &"refused".into()), "{fates:?}");
        fates[0]["reason"].as_str().unwrap().to_owned()
    };
    let purge = |letter: &str| drills.run(&["dlq", "purge", letter, "--reason", "r", "--yes", "--by", "ada"]);
    assert_eq!(purge(&a).json(), json!({"purged": 1}));
    assert!(why(&a, &[]).starts_with("it is purged already, by ada at "));
    assert!(why(&a, &["--dry-run"]).starts_with("it is purged already"));

    assert_eq!(drills.redrive(&["--key", "b", "--no-wait"]).1.len(), 1);
    let left = purge(&b);
    assert!(left.code() == Some(1) && left.stderr.contains("is left alone: it is redriving: "), "{}", left.stderr);
    drills.world.consume();
    assert_eq!(drills.redrive(&["--key", "b", "--resume"]).0, Some(1), "it failed again");
    let said = why(&b, &[]);
    assert!(said.starts_with("it is redriven already") && said.contains("came out dead_lettered: "), "{said}");

    drills.repair();
    let replica = drills.world.replica();
    let of_c = ["dlq", "redrive", &*c];
    for sent in [1, 1] {
        let (code, fates, _) = fates(&drills.run(&of_c));
        assert_eq!((code, &fates[0]["outcome"], &fates[0]["redrive"]), (Some(0), &"processed".into(), &sent.into()));
    }
    replica.terminate();
    let again = drills.run(&["dlq", "redrive", "--topic", &drills.world.topic, "--key", "b", "--no-wait"]);
    assert!(again.stderr.contains("1 that were redriven before came out otherwise than processed"), "{}", again.stderr);
}

#[test]
fn what_is_purged_is_hidden_and_never_sent() {
    let drills = Drills::new("dlq_purge");
    drills.dead(&[drills.permanent("a"), drills.permanent("b")]);
    let purge = |arguments: &[&str]| drills.run(&[&["dlq", "purge"], arguments].concat());
    let of_a = ["--topic", &*drills.world.topic, "--key", "a"];
    assert_eq!(purge(&[&of_a[..], &["--yes"]].concat()).code(), Some(2), "without a reason");
    assert_eq!(purge(&["--yes", "--reason", "r"]).code(), Some(2), "without a filter");
    assert_eq!(purge(&[&of_a[..], &["--reason", "r"]].concat()).code(), Some(1), "nobody confirmed it");
    assert_eq!(purge(&[&of_a[..], &["--dry-run"]].concat()).json(), json!({"wouldBePurged": 1}));
    assert_eq!(drills.listed(&[]).len(), 2);
    assert_eq!(purge(&[&of_a[..], &["--reason", "a mistake", "--yes"]].concat()).json(), json!({"purged": 1}));
    let left = drills.listed(&[]);
    assert_eq!((left.len(), &left[0]["key"]), (1, &"b".into()));
    let purged = drills.listed(&["--status", "purged"]);
    assert_eq!((&purged[0]["key"], &purged[0]["state"]["reason"]), (&"a".into(), &"a mistake".into()));
    let (_, fates, _) = drills.redrive(&["--no-wait"]);
    assert_eq!(fates.len(), 1);
    assert_eq!(drills.redriven()[0].record.key.as_deref(), Some(&b"b"[..]));
}

#[test]
fn a_letter_that_somebody_else_wrote_is_sent_only_where_it_is_told_to() {
    let drills = Drills::new("dlq_foreign");
    let foreign = drills.permanent("a");
    drills.world.producer.send(&drills.dlq(), &foreign);
    let forged = drills.permanent("b").with("coafi-origin-topic", "coafi.bitt.records");
    let forged = forged.with("coafi-origin-partition", "0").with("coafi-origin-offset", "0");
    drills.world.producer.send(&drills.dlq(), &forged);
    drills.repair();
    let (code, fates, _) = drills.redrive(&["--no-wait"]);
    assert_eq!((code, by_word(&fates, "fate")), (Some(1), BTreeMap::from([("refused".to_owned(), 2)])));
    let (_, fates, _) = drills.redrive(&["--no-wait", "--into", &drills.world.topic]);
    let sent: Vec<_> = fates.iter().filter(|fate| fate["fate"] == "sent").collect();
    assert_eq!(sent.len(), 1, "whoever writes to a dead-letter topic does not choose what is written to: {fates:?}");
    is_the_original(&foreign, &drills.redriven()[0].record, "1");
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_done() {
    let drills = Drills::new("dlq_refused");
    drills.dead(&[drills.permanent("a")]);
    let live = format!("{}/0/0", drills.world.topic);
    for (arguments, said) in [
        (&["purge", &*live, "--reason", "r", "--yes"][..], "holds no dead letters; allowed: "),
        (&["redrive", &*live, "--into", &*drills.world.topic], "holds no dead letters; allowed: "),
        (&["show", &*live], "holds no dead letters; allowed: "),
        (&["list", "--topic", "coafi.dlq.state"], "holds no dead letters; allowed: "),
        (&["redrive", "--all", "--into", "coafi.dlq.state"], "is no source topic; allowed: "),
        (&["redrive", "--class", "permanant"], "possible values: poison, invalid, permanent"),
        (&["redrive"], "nothing says which records are meant"),
        (&["redrive", "--all", "--class", "permanent"], "--all is every record, and something else says which"),
        (&["redrive", "--all", "--group", "nosuch"], "group nosuch has committed nothing in "),
        (&["redrive", "--group", "nosuch", "--dry-run"], "group nosuch has committed nothing in "),
    ] {
        let ended = drills.run(&[&["dlq"], arguments].concat());
        assert_eq!(ended.code(), Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
    assert!(drills.redriven().is_empty());
    assert_eq!(drills.listed(&["--status", "waiting"]).len(), 1, "it is as it was");
}

#[test]
fn letters_that_are_named_are_all_meant_or_none_is() {
    let drills = Drills::new("dlq_named");
    drills.dead(&[drills.permanent("a"), drills.permanent("b"), drills.permanent("c")]);
    let letters = drills.listed(&[]);
    let named: Vec<_> = letters[..2].iter().map(|letter| letter["letter"].as_str().unwrap()).collect();
    for missing in [format!("{}/0/4711", drills.dlq()), format!("{}/9/0", drills.dlq())] {
        let ended = drills.run(&[&["dlq", "redrive", "--no-wait"], &named[..], &[&*missing]].concat());
        assert_eq!(ended.code(), Some(1));
        assert!(ended.stderr.contains(&format!("there is no record {missing}")), "{}", ended.stderr);
    }
    assert!(drills.redriven().is_empty());
    let (_, fates, _) = fates(&drills.run(&[&["dlq", "redrive", "--no-wait"], &named[..]].concat()));
    assert_eq!(by_word(&fates, "fate"), BTreeMap::from([("sent".to_owned(), 2)]), "both of one partition: {fates:?}");
}

#[test]
fn a_state_that_somebody_else_wrote_has_its_letter_left_alone_and_hinders_no_other() {
    let drills = Drills::new("dlq_state");
    drills.dead(&[drills.permanent("a"), drills.permanent("b")]);
    let letter = drills.listed(&["--key", "a"])[0]["letter"].as_str().unwrap().to_owned();
    for key in [letter, drills.dlq()] {
        let foreign = Record { key: Some(key.into()), value: Some(b"nonsense".to_vec()), ..drills.permanent("a") };
        drills.world.producer.send("coafi.dlq.state", &foreign);
    }
    // What stands behind a transaction that another test has open is not read before that has ended.
    let unknown = found("the states can be read", || drills.listed(&["--status", "unknown"]).pop());
    assert_eq!(unknown["key"], "a");
    assert_eq!(drills.listed(&["--status", "unknown"]).len(), 1);
    let (code, fates, _) = drills.redrive(&["--no-wait"]);
    let expected = [("refused".to_owned(), 1), ("sent".to_owned(), 1)].into();
    assert_eq!((code, by_word(&fates, "fate")), (Some(1), expected), "{fates:?}");
    let purge = ["dlq", "purge", "--topic", &*drills.world.topic, "--reason", "r", "--yes"];
    let purged = drills.run(&purge);
    assert_eq!(purged.code(), Some(1), "{}", purged.stderr);
    assert!(purged.stderr.contains("is left alone: what was done with it is not known"), "{}", purged.stderr);
}

#[test]
fn unprocessed_events_come_back_once_a_route_takes_them() {
    let drills = Drills::new("unprocessed");
    let (taken, unknown) = (unique("drill.taken"), unique("drill.unknown"));
    let event =
        |event_type: &str| Record { headers: attributes(event_type, "/drills").headers, ..drills.permanent("a") };
    let (taken_event, unknown_event) = (event(&taken), event(&unknown));
    drills.dead(&[taken_event.clone(), unknown_event]);
    let types = ["--type", &*taken, "--type", &*unknown];
    let list = |status: &str| {
        let list = drills.run(&[&["unprocessed", "list", "--status", status], &types[..]].concat()).json();
        list["letters"].as_array().unwrap().clone()
    };
    let waiting = list("waiting");
    assert_eq!(waiting.len(), 2);
    assert!(waiting[0]["reason"].as_str().unwrap().contains("no route takes type"), "{waiting:?}");

    let route = format!("  - {{name: taken, match: {{type: {taken}}}, handler: noop}}\n");
    drills.world.change_routes(|routes| routes + &route);
    let replica = drills.world.replica();
    let (code, fates, _) = fates(&drills.run(&[&["unprocessed", "reroute"], &types[..]].concat()));
    assert_eq!(code, Some(1), "one of them has no route still: {fates:?}");
    let of = |event_type: &str| found("its fate", || fates.iter().find(|fate| fate["eventType"] == event_type));
    assert_eq!(of(&taken)["outcome"], "processed");
    assert!(of(&unknown)["reason"].as_str().unwrap().contains("no route takes type"), "{fates:?}");
    is_the_original(&taken_event, &drills.redriven()[0].record, "1");
    assert_eq!((list("waiting").len(), list("redriven").len()), (1, 1));
    replica.terminate();
}

#[test]
fn what_no_route_will_take_is_given_up() {
    let drills = Drills::new("given_up");
    let unknown = unique("drill.unknown");
    let event = Record { headers: attributes(&unknown, "/drills").headers, ..drills.permanent("a") };
    drills.dead(&[event.clone(), Record { headers: attributes(&unknown, "/drills").headers, ..event }]);
    let rubbish = Record { value: Some(b"who put this here?".to_vec()), ..Record::default() };
    let offset = drills.world.producer.send_to(UNPROCESSED, 0, &rubbish);
    let rubbish = format!("{UNPROCESSED}/0/{offset}");
    let purge = |args: &[&str]| drills.run(&[&["unprocessed", "purge"], args].concat());
    let of_type = ["--type", &*unknown];
    let listed = |status: &str| {
        let all = drills.run(&["unprocessed", "list", "--status", status]).json();
        let mut all = all["letters"].as_array().unwrap().clone();
        all.retain(|letter| letter["eventType"] == *unknown || letter["letter"] == *rubbish);
        all.len()
    };
    for (args, said) in [
        (&["--reason", "tried out", "--yes"][..], "nothing says which records are meant"),
        (&of_type, "a purge needs a reason"),
    ] {
        let refused = purge(args);
        assert!(refused.code() == Some(2) && refused.stderr.contains(said), "{refused:?}");
    }
    assert_eq!(purge(&[&of_type[..], &["--dry-run"]].concat()).json(), json!({"wouldBePurged": 2}));
    assert_eq!((listed("waiting"), listed("purged")), (3, 0));
    let because = ["--reason", "tried out", "--yes"];
    assert_eq!(purge(&[&of_type[..], &because].concat()).json(), json!({"purged": 2}));
    assert_eq!(purge(&[&[&*rubbish][..], &because].concat()).json(), json!({"purged": 1}));
    assert_eq!((listed("waiting"), listed("purged")), (0, 3));
    assert_eq!(purge(&[&of_type[..], &because].concat()).json(), json!({"purged": 0}));
}
