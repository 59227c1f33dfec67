//! The test's own view of the cluster: topics, producers and an independent consumer that reads what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Everything that a test waits for comes within this time, or the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// The cluster that tests run against.
pub(crate) fn bootstrap() -> String {
    std::env::var("COAFI_TEST_KAFKA").unwrap_or_else(|_| "127.0.0.1:39092".to_owned())
}

/// A name that no other test and no other run has.
pub(crate) fn unique(name: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{}-{nanos:x}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn create_topics(bootstrap: &str, topics: &[(&str, i32)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let new: Vec<_> =
        topics.iter().map(|(name, count)| NewTopic::new(name, *count, TopicReplication::Fixed(1))).collect();
    for result in admin.create_topics(&new, &AdminOptions::new()).await.unwrap() {
        result.unwrap();
    }
}

/// A transaction that has a group's offset in it and is not ended.
pub(crate) struct OpenOffsets(BaseProducer);

impl OpenOffsets {
    pub(crate) fn hold(bootstrap: &str, group: &str, topic: &str, partition: i32) -> Self {
        let member: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().unwrap();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", unique("undecided"))
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
        producer.send_offsets_to_transaction(&offsets, &member.group_metadata().unwrap(), PATIENCE).unwrap();
        Self(producer)
    }

    pub(crate) fn abort(self) {
        self.0.abort_transaction(PATIENCE).unwrap();
    }
}

/// Commits a position for a group that has no members.
pub(crate) fn commit(group: &str, topic: &str, partition: i32, position: i64) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(position)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// Removes every record of these partitions, as retention does.
pub(crate) async fn delete_all(bootstrap: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::End).unwrap();
    }
    let deleted = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    assert!(deleted.elements().iter().all(|element| element.error().is_ok()), "{deleted:?}");
}

pub(crate) struct Written<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) headers: Option<OwnedHeaders>,
}

/// Produces in order; in one transaction if `transaction` names an id.
pub(crate) fn produce<'a>(
    bootstrap: &str,
    topic: &str,
    transaction: Option<&str>,
    records: impl IntoIterator<Item = Written<'a>>,
) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("linger.ms", "5");
    if let Some(id) = transaction {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().unwrap();
    if transaction.is_some() {
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
    }
    for written in records {
        let mut record = BaseRecord::to(topic).key(written.key).payload(written.value);
        if let Some(headers) = written.headers {
            record = record.headers(headers);
        }
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(POLL);
            record = back;
        }
        producer.poll(Duration::ZERO);
    }
    if transaction.is_some() {
        producer.commit_transaction(PATIENCE).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) headers: Vec<String>,
}

/// A consumer that belongs to nobody else's group and reads what is committed, from the beginning.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    list: TopicPartitionList,
    pub(crate) records: Vec<Read>,
}

impl Reader {
    pub(crate) fn new(bootstrap: &str, topic: &str, partitions: i32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", unique("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        Self { consumer, list, records: Vec::new() }
    }

    /// Reads on until `enough` says so.
    pub(crate) fn read_until(&mut self, what: &str, enough: impl Fn(&[Read]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.records) {
            assert!(Instant::now() < deadline, "{what} not seen in {} records", self.records.len());
            self.poll();
        }
    }

    /// Reads everything again, from the beginning to every partition's end as it is now.
    pub(crate) fn read_to_end(&mut self) {
        self.records.clear();
        self.consumer.assign(&self.list).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut ends = BTreeSet::new();
        while ends.len() < self.list.count() {
            assert!(Instant::now() < deadline, "ends of {ends:?} only");
            ends.extend(self.poll());
        }
    }

    fn poll(&mut self) -> Option<i32> {
        match self.consumer.poll(POLL) {
            Some(Ok(message)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let headers = message.headers().map_or_else(Vec::new, |h| h.iter().map(|h| h.key.to_owned()).collect());
                self.records.push(Read {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: text(message.key()),
                    value: text(message.payload()),
                    headers,
                });
                None
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            Some(Err(error)) => panic!("{error}"),
            None => None,
        }
    }
}

/// Committed positions and metadata of a group, with `require_stable`.
pub(crate) fn committed(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, (i64, String)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let answer = consumer.committed_offsets(list, PATIENCE).unwrap();
    answer
        .elements()
        .iter()
        .filter_map(|e| Some((e.partition(), (e.offset().to_raw().filter(|o| *o >= 0)?, e.metadata().to_owned()))))
        .collect()
}

/// Waits for a condition, with a bound. What is looked at has no notification: the one place here that waits by the clock.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
