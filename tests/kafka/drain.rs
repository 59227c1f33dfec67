//! `coafi topics apply --drain` on a real cluster: a keyed topic with records gets more partitions only once nobody publishes
//! and everything is handled.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use coafi::config::{Kafka, Settings};
use coafi::kafka::{Drain, Obstacle};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::cluster::{Written, bootstrap, commit, create_topics, produce, unique};

const TIMEOUT: Duration = Duration::from_secs(30);

fn write(topic: &str, records: usize) {
    produce(&bootstrap(), topic, None, (0..records).map(|_| Written { key: "k", value: "v", headers: None }));
}

fn declare(folder: &Path, topic: &str, partitions: i32) {
    let text = format!(
        "{{topic: {topic}, owner: tests, partitions: {partitions}, replication: 1, key: k, retention: 1d, cleanup: delete, \
         max_message_bytes: 1 MiB, retry: {{tiers: [5s], partitions: {partitions}, retention: 1d}}, dead_letter: {{retention: 1d}}}}"
    );
    std::fs::write(folder.join("topic.yaml"), text).unwrap();
}

fn apply(folder: &Path, group: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
    command.args(["topics", "apply", "--topics"]).arg(folder).args(arguments);
    command.env("COAFI__KAFKA__BOOTSTRAP_SERVERS", bootstrap()).env("COAFI__KAFKA__GROUP_ID", group);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

fn partitions(topic: &str) -> usize {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap().topics()[0].partitions().len()
}

#[test]
fn a_topic_grows_with_its_retry_and_dead_letter_topics_once_everything_is_handled() {
    let (folder, topic, group) = (tempfile::tempdir().unwrap(), format!("{}.git", unique("grow")), unique("group"));
    let all = [topic.clone(), format!("{topic}.retry.5s"), format!("{topic}.dlq")];
    declare(folder.path(), &topic, 1);
    let made = apply(folder.path(), &group, &[]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    write(&topic, 3);
    write(&all[1], 1);
    declare(folder.path(), &topic, 2);

    let refused = |arguments: &[&str], because: &str| {
        let refused = apply(folder.path(), &group, arguments);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(because), "{because}: {}", said(&refused));
        assert!(all.iter().all(|topic| partitions(topic) == 1), "nothing is changed");
    };
    let at_once = ["--drain", "--still", "0ms", "--timeout", "1s"];
    refused(&[], "--drain");
    refused(&at_once, &format!("no group has read {topic}"));
    commit(&group, &topic, 0, 2);
    refused(&at_once, &format!("group {group} is 1 behind in {topic}[0]"));
    commit(&group, &topic, 0, 3);
    commit(&group, &all[1], 0, 0);
    refused(&at_once, &format!("group {group} is 1 behind in {topic}.retry.5s[0]"));
    commit(&group, &all[1], 0, 1);
    refused(&["--drain", "--still", "1m", "--timeout", "1s"], "stop its publishers");

    let grown = apply(folder.path(), &group, &["--drain", "--still", "100ms", "--output", "json"]);
    assert_eq!(grown.status.code(), Some(0), "{}", said(&grown));
    let answer: serde_json::Value = serde_json::from_slice(&grown.stdout).unwrap();
    assert_eq!((&answer["drained"], &answer["applied"]), (&true.into(), &true.into()));
    assert!(all.iter().all(|topic| partitions(topic) == 2));
}

/// One partition, three records, all handled, and what watches it.
async fn drained(topic: &str, group: &str) -> Drain {
    create_topics(&bootstrap(), &[(topic, 1)]).await;
    write(topic, 3);
    commit(group, topic, 0, 3);
    let mut kafka: Kafka = Settings::default().kafka;
    (kafka.bootstrap_servers, kafka.group_id) = (bootstrap(), group.to_owned());
    Drain::new(&kafka, vec![group.to_owned()], BTreeMap::from([(topic.to_owned(), 1)]), Duration::ZERO).unwrap()
}

#[tokio::test]
async fn what_is_written_while_a_topic_grows_is_named() {
    let (topic, group) = (unique("overtaken"), unique("group"));
    let mut drain = drained(&topic, &group).await;
    assert_eq!(drain.wait(TIMEOUT, |_| {}).unwrap(), []);
    assert_eq!(drain.overtaken().unwrap(), []);
    write(&topic, 2);
    assert_eq!(drain.overtaken().unwrap(), [Obstacle::Overtaken { topic, partition: 0, from: 3, to: 5 }]);
}

#[tokio::test]
async fn an_open_transaction_is_a_publisher_that_goes_on() {
    let (topic, group) = (unique("open"), unique("group"));
    let mut drain = drained(&topic, &group).await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("transactional.id", unique("publisher"))
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(&topic).key("k").payload("v")).unwrap();
    producer.flush(TIMEOUT).unwrap();
    let obstacles = drain.wait(Duration::from_secs(1), |_| {}).unwrap();
    assert_eq!(obstacles, [Obstacle::OpenTransaction { topic, partition: 0 }]);
    producer.abort_transaction(TIMEOUT).unwrap();
}
