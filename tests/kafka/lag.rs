//! `coafi group lag` against committed offsets.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coafi::config::Settings;
use coafi::kafka::{LagError, group_facts, group_lag, replica_reports};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::cluster::{PATIENCE, Written, bootstrap, commit, create_topics, produce, unique};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes a value for each key, as old as it says.
fn report(topic: &str, reports: &[(&str, Duration)]) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    for (key, age) in reports {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - *age;
        let record = BaseRecord::to(topic).key(*key).payload(*key).timestamp(i64::try_from(at.as_millis()).unwrap());
        producer.send(record).unwrap_or_else(|(error, _)| panic!("{error}"));
    }
    producer.flush(PATIENCE).unwrap();
}

/// A member of the group that says that it is this replica.
fn member(group: &str, slot: &str, topic: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("group.id", group).set("client.id", format!("coafi-{slot}"));
    let member: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
    member.subscribe(&[topic]).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while member.assignment().unwrap().count() == 0 {
        assert!(std::time::Instant::now() < deadline, "nothing was assigned");
        let _ = member.poll(Duration::from_millis(50));
    }
    member
}

#[tokio::test]
async fn reports_are_read_back_only_for_as_long_as_one_is_missing() {
    let (topic, status, group) = (unique("lag"), unique("status"), unique("group"));
    create_topics(&bootstrap(), &[(&topic, 1), (&status, 2)]).await;
    produce(&bootstrap(), &topic, None, [Written { key: "k", value: "v", headers: None }]);
    let mut kafka = Settings::default().kafka;
    (kafka.bootstrap_servers, kafka.group_id) = (bootstrap(), group.clone());
    let [here, gone, other] = ["here", "gone", "other"].map(|slot| format!("{group}/{slot}"));
    let (long_ago, hours) = (Duration::from_secs(90), Duration::from_secs(7_200));
    report(&status, &[(&gone, hours), (&here, hours), ("another-group/here", hours), (&other, long_ago)]);
    let found = |wanted: &[&String]| {
        let facts = group_facts(&kafka, std::slice::from_ref(&topic), &[], &status, TIMEOUT).unwrap();
        assert_eq!(facts.reports.unread_before_ms, None, "nothing is missing");
        let values: BTreeSet<String> =
            facts.reports.values.into_iter().map(|value| String::from_utf8(value).unwrap()).collect();
        assert_eq!(values, wanted.iter().map(|key| (*key).clone()).collect());
    };
    found(&[&here, &gone, &other]);

    let member = member(&group, "here", &topic);
    report(&status, &[(&here, Duration::ZERO)]);
    found(&[&here]);
    drop(member);
    found(&[&here, &gone, &other]);

    let (_, unread) = replica_reports(&kafka, &status, Duration::ZERO);
    assert!(unread.values.is_empty() && unread.unread_before_ms.is_some(), "{unread:?}");
}

#[tokio::test]
async fn lag_is_counted_from_the_committed_position() {
    let (topic, group) = (unique("lag"), unique("group"));
    create_topics(&bootstrap(), &[(&topic, 1)]).await;
    let records = (0..5).map(|_| Written { key: "k", value: "v", headers: None });
    produce(&bootstrap(), &topic, None, records);
    let mut kafka = Settings::default().kafka;
    (kafka.bootstrap_servers, kafka.group_id) = (bootstrap(), group.clone());

    assert!(group_lag(&kafka, &[], TIMEOUT).unwrap().partitions.is_empty(), "nothing is committed");
    let named = group_lag(&kafka, std::slice::from_ref(&topic), TIMEOUT).unwrap();
    assert_eq!((named.partitions[0].committed, named.total()), (None, 5));

    commit(&group, &topic, 0, 2);
    let lag = group_lag(&kafka, &[], TIMEOUT).unwrap();
    assert_eq!((lag.partitions.len(), lag.partitions[0].committed, lag.total()), (1, Some(2), 3));
    let oldest_ms = lag.partitions[0].oldest_ms.expect("the record at the position has a time");
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let age_ms = now_ms.abs_diff(u128::try_from(oldest_ms).unwrap());
    assert!(age_ms < 600_000, "{age_ms} ms: it was written in this test");
    let unknown = group_lag(&kafka, &[unique("nowhere")], TIMEOUT).unwrap_err();
    assert!(matches!(unknown, LagError::UnknownTopic { .. }), "{unknown}");

    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
        command.args(["group", "lag", "--group", &group]).args(arguments);
        command.env("COAFI__KAFKA__BOOTSTRAP_SERVERS", bootstrap()).output().unwrap()
    };
    let json = run(&["--output", "json"]);
    let expected = format!(
        "{{\"group\":\"{group}\",\"total\":3,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"committed\":2,\
         \"end\":5,\"lag\":3,\"unfetched\":3,\"waiting\":0,\"in_flight\":0,\"parked\":0,\"retrying\":0,\
         \"oldest_ms\":{oldest_ms},\"replica\":null,\"as_of_ms\":null}}]}}\n"
    );
    assert_eq!(String::from_utf8(json.stdout).unwrap(), expected);
    assert_eq!(run(&["--max", "3"]).status.code(), Some(0));
    assert_eq!(run(&["--max", "2"]).status.code(), Some(1), "further behind than allowed");
}
