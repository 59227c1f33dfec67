//! After a rollback: what a newer release has committed and this one cannot read.

use coafi::kafka::{Config, DriverError};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::cluster::{Reader, Written, bootstrap, committed, create_topics, eventually, produce, unique};
use crate::echo::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_does_not_go_on_from_an_offset_map_that_it_cannot_read() {
    let (bootstrap, source, outcomes, group) =
        (bootstrap(), unique("newer-source"), unique("newer-outcomes"), unique("newer"));
    create_topics(&bootstrap, &[(&source, 1), (&outcomes, 1)]).await;
    produce(&bootstrap, &source, None, (0..5).map(|_| Written { key: "k", value: "ok 1", headers: None }));
    let replica = || start(Config::new(&bootstrap, &group, "0", &[&source]), &outcomes, None).0;
    let handle_all = async || {
        let replica = replica();
        eventually("lag 0", || !replica.status().assignment.is_empty() && replica.status().lag() == Some(0)).await;
        replica.shutdown().await.unwrap();
    };
    handle_all().await;

    let (position, map) = committed(&bootstrap, &group, &source, 1).remove(&0).unwrap();
    let newer = map.replacen("coafi1:", "coafi2:", 1);
    assert_ne!(map, newer);
    commit(&bootstrap, &group, &source, position, &newer);
    let ended = replica().ended().await;
    assert!(matches!(ended, Err(DriverError::NewerOffsetMap { version: 2, .. })), "{ended:?}");
    assert_eq!(committed(&bootstrap, &group, &source, 1)[&0], (position, newer.clone()), "it is left as it is");

    // An offset that was reset since has nothing to do with the map any more.
    commit(&bootstrap, &group, &source, 0, &newer);
    handle_all().await;
    let mut read = Reader::new(&bootstrap, &outcomes, 1);
    read.read_to_end();
    assert_eq!(read.records.len(), 10);
}

/// As an administrator does, while the group has no members.
fn commit(bootstrap: &str, group: &str, topic: &str, position: i64, metadata: &str) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(Offset::Offset(position)).unwrap();
    element.set_metadata(metadata);
    consumer.commit(&list, CommitMode::Sync).unwrap();
}
