//! `coafi topics plan` and `apply` on a real cluster.

use coafi::kafka::admin::{Admin, AdminError};
use coafi::kafka::topics::{Change, Declaration, Plan, Topic, topics};
use coafi::schema::Schemas;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

fn bootstrap() -> String {
    std::env::var("COAFI_TEST_KAFKA")
        .expect("COAFI_TEST_KAFKA is host:port of a Kafka for tests; `make test` starts one and sets it")
}

fn admin() -> Admin {
    Admin::new(ClientConfig::new().set("bootstrap.servers", bootstrap())).unwrap()
}

/// Topics of a declaration with this many partitions and this retention, for one broker.
fn declared(name: &str, partitions: i32, retention: &str, cleanup: &str) -> Vec<Topic> {
    let text = format!(
        "{{topic: {name}, owner: tests, partitions: {partitions}, replication: 3, key: k, retention: {retention}, \
         cleanup: {cleanup}, max_message_bytes: 1 MiB, retry: {{tiers: [5s], retention: 1d}}, \
         dead_letter: {{retention: 1d}}, config: {{compression.type: producer}}}}"
    );
    topics(&[Declaration::parse("test", &text, &Schemas::built_in()).unwrap()], Some(1))
}

/// A name of a family of its own, so that topics of other tests are not mentioned.
fn unique() -> String {
    format!("t{}.git", uuid::Uuid::now_v7().simple())
}

fn changes(plan: &Plan) -> Vec<(&str, &Change)> {
    plan.steps.iter().map(|step| (step.topic.as_str(), &step.change)).collect()
}

#[tokio::test]
async fn an_empty_cluster_becomes_as_declared() {
    let (admin, name) = (admin(), unique());
    let wanted = declared(&name, 2, "1d", "delete");
    let plan = admin.plan(&wanted).await.unwrap();
    assert_eq!(plan.steps.len(), 3, "{plan:?}");
    let created = plan.steps.iter().map(|step| match step.change {
        Change::Create { partitions, replication: 1, .. } => partitions,
        _ => panic!("{step:?}"),
    });
    assert_eq!(created.collect::<Vec<_>>(), [2, 1, 2], "the source, its retry topic, its dead letters");
    admin.apply(&plan).await.unwrap();
    // A second apply of the same plan, as by another operator at the same time.
    admin.apply(&plan).await.unwrap();
    let after = admin.plan(&wanted).await.unwrap();
    assert!(!after.changes_something(), "{after:?}");
}

#[tokio::test]
async fn an_empty_topic_may_be_changed_in_any_way_that_kafka_can() {
    let (admin, name) = (admin(), unique());
    let first = declared(&name, 1, "7d", "delete");
    admin.apply(&admin.plan(&first).await.unwrap()).await.unwrap();
    let other = declared(&name, 3, "1d", "compact");
    let plan = admin.plan(&other).await.unwrap();
    assert_eq!(plan.refused().count(), 0, "{plan:?}");
    admin.apply(&plan).await.unwrap();
    let after = admin.plan(&other).await.unwrap();
    assert!(!after.changes_something(), "{after:?}");
    let fewer = admin.plan(&first).await.unwrap();
    assert!(fewer.refused().any(|step| step.change == Change::Partitions { from: 3, to: 1 }), "{fewer:?}");
}

#[tokio::test]
async fn what_would_lose_records_is_refused_as_a_whole() {
    let (admin, name) = (admin(), unique());
    let first = declared(&name, 1, "7d", "delete");
    admin.apply(&admin.plan(&first).await.unwrap()).await.unwrap();
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).set("enable.idempotence", "true").create().unwrap();
    producer.send(FutureRecord::to(&name).key("k").payload("v"), Duration::from_secs(20)).await.unwrap();

    for other in
        [declared(&name, 2, "7d", "delete"), declared(&name, 1, "1d", "delete"), declared(&name, 1, "7d", "compact")]
    {
        let plan = admin.plan(&other).await.unwrap();
        let refused: Vec<_> = plan.refused().map(|step| step.topic.as_str()).collect();
        assert_eq!(refused, [name.as_str()], "{plan:?}");
        assert!(matches!(admin.apply(&plan).await, Err(AdminError::Refused(1))));
    }
    let after = admin.plan(&first).await.unwrap();
    assert!(!after.changes_something(), "nothing was changed: {after:?}");
    let longer = declared(&name, 1, "30d", "delete");
    let plan = admin.plan(&longer).await.unwrap();
    assert_eq!(changes(&plan).len(), 1, "{plan:?}");
    admin.apply(&plan).await.unwrap();
    assert!(!admin.plan(&longer).await.unwrap().changes_something());
}

#[tokio::test]
async fn configuration_that_is_not_declared_stays_and_unknown_topics_are_mentioned() {
    let (admin, name) = (admin(), unique());
    let mut more = declared(&name, 1, "7d", "delete");
    more[0].config.insert("segment.ms".into(), "3600000".into());
    admin.apply(&admin.plan(&more).await.unwrap()).await.unwrap();
    let longer = declared(&name, 1, "8d", "delete");
    admin.apply(&admin.plan(&longer).await.unwrap()).await.unwrap();
    more[0].config.insert("retention.ms".into(), longer[0].config["retention.ms"].clone());
    let after = admin.plan(&more).await.unwrap();
    assert!(!after.changes_something(), "segment.ms outlived a change of retention.ms: {after:?}");
    let only_first = admin.plan(&longer[..1]).await.unwrap();
    let unknown = [format!("{name}.dlq"), format!("{name}.retry.5s")];
    assert_eq!(changes(&only_first), unknown.iter().map(|n| (n.as_str(), &Change::Unknown)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cluster_that_is_away_is_an_error_and_no_plan() {
    let closed = coafi_testcontainers::free_address().unwrap().to_string();
    let mut client = ClientConfig::new();
    let admin = Admin::new(client.set("bootstrap.servers", closed).set("socket.timeout.ms", "1000")).unwrap();
    let error = admin.plan(&declared("t.x", 1, "1d", "delete")).await.unwrap_err();
    assert!(matches!(error, AdminError::Unavailable { .. }), "{error}");
}
