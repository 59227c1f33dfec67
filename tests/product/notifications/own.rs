//! What COAFI itself says: outages that last and are over, and dead letters.

use std::time::{Duration, Instant};

use super::receiver::Receiver;
use super::{Told, titles};
use coafi_testcontainers::{Kafka, Postgres};

use crate::journal::Outcome;
use crate::process::{Process, eventually};
use crate::stack::Stack;
use crate::topic::Record;

const RULES: &str = "    - {severity: warning, sources: [/coafi/groups/GROUP], channels: [GROUP-hook]}
  dead_letters:
    - {classes: [poison], severity: warning}
";

#[test]
fn an_outage_that_lasts_is_said_once_and_that_it_is_over_once() {
    let mut told = Told::with("notify_outage", RULES);
    told.chat.stop();
    let replica = told.replica_with(&[("COAFI__ENGINE__CIRCUIT__ESCALATE_AFTER", "1s")]);
    let chat = told.channel("chat");
    told.say("hello", &["--channel", &chat]);
    let said = |n: usize| titles(&told.hook.until(n)[n - 1]);
    assert_eq!(said(1), [format!("notify:{chat} is down")]);
    told.hook.until(1)[0].check_signature(super::SECRET);
    let mut chat_back = told.chat;
    chat_back.resume();
    let received = told.hook.until(2);
    assert_eq!(titles(&received[1]), [format!("notify:{chat} answers again")]);
    assert_eq!(received[1].json()["data"]["notifications"][0]["resolved"], true);
    assert_eq!(chat_back.until(1).len(), 1, "what waited goes on");
    replica.terminate();
    replica.ended().well();
    assert_eq!(told.hook.all().len(), 2);
}

fn is_escalation(outcome: &Outcome) -> bool {
    outcome.is_final() && outcome.event_id.as_deref().is_some_and(|id| id.starts_with("escalation-"))
}

#[test]
fn an_outage_that_two_replicas_see_is_said_once() {
    let mut told = Told::with("notify_replicas", RULES);
    told.chat.stop();
    let replicas = ["one", "two"].map(|slot| {
        told.replica_with(&[("COAFI__KAFKA__SLOT", slot), ("COAFI__ENGINE__CIRCUIT__ESCALATE_AFTER", "1s")])
    });
    let chat = told.channel("chat");
    // One of them has a single partition of that topic, and a message comes to it by its key.
    let has_seen = |replica: &Process| replica.metric(r#"coafi_incidents_total{kind="outage"}"#) == 1.0;
    let mut ids = Vec::new();
    eventually("each has seen it", || {
        ids.push(told.say(&format!("n{}", ids.len()), &["--channel", &chat]));
        replicas.iter().all(has_seen)
    });
    let said = |told: &Told| told.outcomes().iter().filter(|outcome| is_escalation(outcome)).count();
    eventually("both have said so", || said(&told) == 2);
    assert!(replicas.iter().all(has_seen), "one outage each");
    told.chat.resume();
    told.chat.until(ids.len());
    eventually("both have said that it is over", || said(&told) == 4);
    replicas.iter().for_each(Process::terminate);
    replicas.into_iter().for_each(|replica| drop(replica.ended().well()));
    let received = told.hook.all();
    let expected = [format!("notify:{chat} is down"), format!("notify:{chat} answers again")];
    assert_eq!(received.iter().map(titles).collect::<Vec<_>>().concat(), expected);
}

#[test]
fn dead_letters_of_one_kind_are_said_once() {
    let told = Told::with("notify_letters", RULES);
    let replica = told.replica();
    let garbage = Record { key: Some("k".into()), value: Some(b"no event".to_vec()), ..Record::default() };
    told.world.send(&garbage);
    // Which of several is told of is not said.
    let received = told.hook.until(1);
    for _ in 0..2 {
        told.world.send(&garbage);
    }
    eventually("all are dead letters", || told.world.dead_letters().len() == 3);
    let notification = &received[0].json()["data"]["notifications"][0];
    assert!(
        notification["title"].as_str().unwrap().starts_with("Dead letters of route no route: poison"),
        "{notification}"
    );
    assert!(notification["text"].as_str().unwrap().contains(&format!("{}[0]@0", told.world.topic)), "{notification}");
    let heard = |outcome: &Outcome| {
        outcome.is_final() && outcome.event_id.as_deref().is_some_and(|id| id.starts_with("dead-letter/"))
    };
    eventually("all are heard", || told.outcomes().iter().filter(|outcome| heard(outcome)).count() == 3);
    replica.terminate();
    replica.ended().well();
    assert_eq!(told.hook.all().len(), 1);
}

#[test]
fn an_outage_of_the_database_is_said_without_it() {
    let mut postgres = Postgres::start().unwrap();
    let told = Told::on(Stack { postgres: postgres.url(), ..Stack::shared() }, "notify_direct", RULES);
    let mut replica = told.replica_with(&[("COAFI__ENGINE__CIRCUIT__ESCALATE_AFTER", "1s")]);
    postgres.kill().unwrap();
    told.world.send(&told.world.push("key"));
    let received = told.hook.until(1);
    assert_eq!(titles(&received[0]), ["database is down"]);
    assert_eq!(received[0].json()["data"]["notifications"][0]["severity"], "critical");
    postgres.restart().unwrap();
    assert_eq!(titles(&told.hook.until(2)[1]), ["database answers again"]);
    replica.until_ready();
    replica.terminate();
    replica.ended().well();
    assert_eq!(told.hook.all().len(), 2);
}

/// Longer than one try to publish takes.
const AWAY: Duration = Duration::from_secs(20);

#[test]
fn an_outage_of_the_brokers_is_said_without_them_and_to_the_others_afterwards() {
    let mut kafka = Kafka::start().unwrap();
    let rules = RULES.replace("[GROUP-hook]", "[GROUP-hook, GROUP-chat]");
    let told = Told::on(Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() }, "notify_brokers", &rules);
    // A broker that starts may answer and be away again for a moment.
    let mut replica = told.replica_with(&[("COAFI__ENGINE__CIRCUIT__ESCALATE_AFTER", "5s")]);
    kafka.kill().unwrap();
    let stopped = Instant::now();
    // That the ledger is down may be said as well: it is kept in the same brokers.
    let of_brokers = |told: &Receiver| {
        let texts = told.all().into_iter().map(|received| received.json().to_string());
        texts.filter(|text| text.contains("kafka is down") || text.contains("kafka answers again")).collect::<Vec<_>>()
    };
    eventually("it is said without them", || of_brokers(&told.hook).len() == 1);
    eventually("no try to publish can have outlived it", || stopped.elapsed() > AWAY);
    assert_eq!(of_brokers(&told.chat), [""; 0], "nothing can come by way of them");
    kafka.restart().unwrap();
    eventually("the others are told", || of_brokers(&told.chat).len() == 2 && of_brokers(&told.hook).len() == 2);
    replica.until_ready();
    replica.terminate();
    replica.ended().well();
    for told in [&told.chat, &told.hook] {
        let said = of_brokers(told);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("kafka is down") && said[1].contains("kafka answers again"), "{said:?}");
    }
}
