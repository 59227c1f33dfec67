//! Records, written and removed by a client like any other.

use std::time::Duration;

use coafi_chaos::reading::client;
use coafi_chaos::reconcile::Place;
use coafi_chaos::world::GROUP;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// One look at a broker.
const LOOK: Duration = Duration::from_millis(100);
/// ... and how often at most.
const LOOKS_MAX: usize = 300;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Topics {
    kafka: String,
    producer: BaseProducer,
}

impl Topics {
    pub(super) fn new(kafka: &str) -> Self {
        let producer = ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
        Self { kafka: kafka.to_owned(), producer }
    }

    pub(super) fn write(&self, record: BaseRecord<'_, [u8], [u8]>) {
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(ANSWER_LIMIT).unwrap();
    }

    /// An event of the drill, as far as anybody looks who does not handle it.
    pub(super) fn send(&self, topic: &str, partition: i32, key: &str, id: &str) {
        let headers =
            [("ce_specversion", "1.0"), ("ce_id", id), ("ce_source", "/drill/strict"), ("ce_type", "drill.step")];
        let headers = headers
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let record = BaseRecord::to(topic).partition(partition).key(key.as_bytes()).payload(b"a step".as_slice());
        self.write(record.headers(headers));
    }

    pub(super) fn write_again(&self, place: &Place) {
        let record = self.find(place, |message| message.offset() == place.offset);
        let headers = record.headers().cloned().unwrap_or_else(OwnedHeaders::new);
        let again = BaseRecord::to(&place.topic).partition(place.partition).headers(headers);
        self.write(again.key(record.key().unwrap_or_default()).payload(record.payload().unwrap_or_default()));
    }

    /// The first committed record from a place on that is `wanted`.
    pub(super) fn find(&self, from: &Place, wanted: impl Fn(&OwnedMessage) -> bool) -> OwnedMessage {
        let consumer: BaseConsumer = client(&self.kafka, "chaos-planter", "read_committed").unwrap();
        consumer.assign(&at(from, from.offset)).unwrap();
        let mut looks = (0..LOOKS_MAX).filter_map(|_| match consumer.poll(LOOK) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => None,
            Some(message) => Some(message.unwrap().detach()),
        });
        looks.find(wanted).unwrap_or_else(|| panic!("from {from} on nothing is found"))
    }

    /// Removes the record, and whatever is before it in its partition.
    pub(super) fn remove_up_to(&self, place: &Place) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.kafka).create().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = at(place, place.offset + 1);
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT));
        let removed = runtime.block_on(admin.delete_records(&until, &options)).unwrap();
        removed.elements().iter().for_each(|element| element.error().unwrap());
    }

    /// The group's position, by somebody who is no member.
    pub(super) fn commit(&self, position: &Place, metadata: &str) {
        let group = client(&self.kafka, GROUP, "read_committed").unwrap();
        let list = at(position, position.offset);
        list.find_partition(&position.topic, position.partition).unwrap().set_metadata(metadata);
        group.commit(&list, CommitMode::Sync).unwrap();
    }
}

fn at(place: &Place, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.topic, place.partition, Offset::Offset(offset)).unwrap();
    list
}
