//! Kafka as any client sees it: what is produced, and what is committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::process::{PATIENCE, eventually, found};
use crate::stack::{block_on, unique};

const POLL: Duration = Duration::from_millis(50);
/// More than any topic here takes: the broker is to judge, not the client.
const CLIENT_LIMIT: &str = "4000000";

/// A record, to be produced or as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The last header of this name, as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(found, _)| found == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self
    }
}

/// A record with its place.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) record: Record,
}

/// Writes in order, each record acknowledged before the next.
pub(crate) struct Producer(FutureProducer);

impl Producer {
    pub(crate) fn new(bootstrap: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("message.max.bytes", CLIENT_LIMIT).set("linger.ms", "0");
        Self(config.create().unwrap())
    }

    /// The offset in partition 0.
    pub(crate) fn send(&self, topic: &str, record: &Record) -> i64 {
        self.try_send(topic, record).expect("the broker takes it")
    }

    /// Hands a record of any partition over, acknowledged or not.
    pub(crate) fn hand_over(&self, topic: &str, partition: i32, record: &Record) {
        let mut message = message(topic, record).partition(partition);
        loop {
            match self.0.send_result(message) {
                Ok(_) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => message = back,
                Err((error, _)) => panic!("{topic}: {error}"),
            }
            self.flush();
        }
    }

    /// Waits until all that was handed over is acknowledged.
    pub(crate) fn flush(&self) {
        self.0.flush(PATIENCE).expect("the broker takes it");
    }

    /// The offset in this partition.
    pub(crate) fn send_to(&self, topic: &str, partition: i32, record: &Record) -> i64 {
        self.try_send_to(topic, partition, record).expect("the broker takes it")
    }

    /// [`Self::send_to`] as if it had been written then, in milliseconds since the Unix epoch.
    pub(crate) fn send_as_of(&self, topic: &str, partition: i32, record: &Record, at_ms: i64) {
        let message = message(topic, record).partition(partition).timestamp(at_ms);
        block_on(self.0.send(message, PATIENCE)).expect("the broker takes it");
    }

    /// The offset in partition 0; `None` if the record is too large for the topic.
    pub(crate) fn try_send(&self, topic: &str, record: &Record) -> Option<i64> {
        self.try_send_to(topic, 0, record)
    }

    fn try_send_to(&self, topic: &str, partition: i32, record: &Record) -> Option<i64> {
        match block_on(self.0.send(message(topic, record).partition(partition), PATIENCE)) {
            Ok(delivery) => Some(delivery.offset),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => None,
            Err((error, _)) => panic!("{topic}: {error}"),
        }
    }
}

fn message<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, Vec<u8>, Vec<u8>> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_ref() });
    }
    let mut message = FutureRecord::to(topic).headers(headers);
    message.key = record.key.as_ref();
    message.payload = record.value.as_ref();
    message
}

/// A topic of one partition that no program knows.
pub(crate) fn create(bootstrap: &str, name: &str, max_message_bytes: usize) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let bytes = max_message_bytes.to_string();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &bytes);
    for made in block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap() {
        made.unwrap();
    }
}

/// Changes one setting of a topic. The request replaces all of them, so the others are sent along.
pub(crate) fn configure(bootstrap: &str, topic: &str, name: &str, value: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let (specifier, options) = (ResourceSpecifier::Topic(topic), AdminOptions::new());
    let described = block_on(admin.describe_configs([&specifier], &options)).unwrap().remove(0).unwrap();
    let set = described.entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    let mut entries: HashMap<&str, &str> = set.filter_map(|e| Some((&*e.name, e.value.as_deref()?))).collect();
    entries.insert(name, value);
    for changed in block_on(admin.alter_configs(&[AlterConfig { specifier, entries }], &options)).unwrap() {
        changed.unwrap();
    }
}

/// How many brokers are in step with the leader, the fewest of any partition; 0 if one has no leader.
pub(crate) fn in_sync(bootstrap: &str, topic: &str) -> usize {
    let metadata = client(bootstrap, "read_committed").fetch_metadata(Some(topic), PATIENCE).unwrap();
    let of = |partition: &MetadataPartition| if partition.leader() < 0 { 0 } else { partition.isr().len() };
    metadata.topics()[0].partitions().iter().map(of).min().unwrap_or_default()
}

/// Gives a topic so many partitions.
pub(crate) fn grow(bootstrap: &str, topic: &str, partitions: usize) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let wanted = NewPartitions::new(topic, partitions);
    for grown in block_on(admin.create_partitions(&[wanted], &AdminOptions::new())).unwrap() {
        grown.unwrap();
    }
}

/// Takes what is before this offset of partition 0, as retention would.
pub(crate) fn delete_records(bootstrap: &str, topic: &str, before: i64) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
}

/// Returns once nobody sees it any more.
pub(crate) fn delete(bootstrap: &str, name: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    for deleted in block_on(admin.delete_topics(&[name], &AdminOptions::new())).unwrap() {
        deleted.unwrap();
    }
    eventually("the topic is gone", || {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
        metadata.topics().iter().all(|topic| topic.name() != name)
    });
}

/// Moves a group that has no members to these positions, as `kafka-consumer-groups.sh --reset-offsets` does.
pub(crate) fn reset(bootstrap: &str, group: &str, topic: &str, positions: &Positions) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    // Its last member may not have left yet.
    eventually("the group is moved", || consumer.commit(&list, CommitMode::Sync).is_ok());
}

/// Next offset by partition.
pub(crate) type Positions = BTreeMap<i32, i64>;

/// Where the topic's partitions end now, whatever of it is committed.
pub(crate) fn ends(bootstrap: &str, topic: &str) -> Positions {
    ends_as(&client(bootstrap, "read_uncommitted"), topic)
}

fn ends_as(consumer: &BaseConsumer, topic: &str) -> Positions {
    // A broker that has just started, or a topic that has, is not ready to be asked.
    found("the topic's ends", || {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
        let partitions = metadata.topics()[0].partitions().iter().map(MetadataPartition::id);
        let ends = partitions.map(|id| Some((id, consumer.fetch_watermarks(topic, id, PATIENCE).ok()?.1)));
        ends.collect::<Option<Positions>>().filter(|ends| !ends.is_empty())
    })
}

/// Positions that a group has committed, asked as its members ask, by somebody who is none.
pub(crate) struct Committed {
    consumer: BaseConsumer,
    asked: TopicPartitionList,
}

impl Committed {
    pub(crate) fn of(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("group.id", group);
        // Not to wait for a transaction that an outage keeps open: what it commits is not there before it has ended, either way.
        config.set("isolation.level", "read_uncommitted");
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions - 1);
        Self { consumer: config.create().unwrap(), asked }
    }

    /// -1 where nothing is committed.
    pub(crate) fn positions(&self) -> Positions {
        let found = found("what is committed", || self.consumer.committed_offsets(self.asked.clone(), PATIENCE).ok());
        let position = |offset: Offset| offset.to_raw().filter(|offset| *offset >= 0).unwrap_or(-1);
        found.elements().iter().map(|element| (element.partition(), position(element.offset()))).collect()
    }
}

/// Everything that is committed in the topic from `start` (the beginning where it names no offset) to where it ends now.
/// What is still in an open transaction is waited for.
pub(crate) fn read(bootstrap: &str, topic: &str, start: &Positions) -> Vec<Read> {
    let ends = ends(bootstrap, topic);
    let consumer = client(bootstrap, "read_committed");
    eventually("every transaction has ended", || {
        let stable = ends_as(&consumer, topic);
        ends.iter().all(|(partition, end)| stable[partition] >= *end)
    });
    let mut list = TopicPartitionList::new();
    for partition in ends.keys() {
        let from = start.get(partition).map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
        list.add_partition_offset(topic, *partition, from).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut records, mut ended, deadline) = (Vec::new(), BTreeSet::new(), Instant::now() + PATIENCE);
    while ended.len() < ends.len() {
        assert!(Instant::now() < deadline, "{topic}: only the partitions {ended:?} were read to their ends");
        match consumer.poll(POLL) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => panic!("{topic}: {error}"),
            Some(Ok(message)) => records.push(read_message(&message)),
        }
    }
    records
}

fn read_message(message: &rdkafka::message::BorrowedMessage<'_>) -> Read {
    let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), bytes(header.value))).collect()
    });
    let record = Record { key: bytes(message.key()), value: bytes(message.payload()), headers };
    Read { partition: message.partition(), offset: message.offset(), record }
}

fn client(bootstrap: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        // Never joined: partitions are assigned by hand.
        .set("group.id", unique("reader"))
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap()
}
