//! Harms that are really written into the topics and the database of a run that had none, after it: the reconciler finds each of
//! them and nothing else. That it judges right what it is given is for its unit tests; here is what gives it that. A reader that
//! misses something would find every run clean.

use std::collections::BTreeMap;
use std::time::Duration;

use coafi_chaos::reading::{client, source_ends};
use coafi_chaos::reconcile::{Ending, Forward, Harm, Place, Report, Row, Sent};
use coafi_chaos::run::Aftermath;
use coafi_chaos::world::{AUDIT_TOPIC, GROUP, REGISTRY, TOPIC};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage, ToBytes};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// One look at a broker.
const LOOK: Duration = Duration::from_millis(100);
/// ... and how often at most.
const LOOKS_MAX: usize = 300;
const FLUSH_LIMIT: Duration = Duration::from_secs(30);

const NEWEST: &str = "SELECT data FROM registry_history WHERE registry = $1 AND event_id = $2 AND version = $3";
const AGAIN: &str = "
    INSERT INTO registry_history (registry, entry, version, data, utids, updated_by, source, event_id)
    SELECT registry, entry, version + 1, $4, utids, updated_by, source, event_id
    FROM registry_history WHERE registry = $1 AND event_id = $2 AND version = $3";

/// What was planted: a harm, and what its evidence has to name.
type Planted = Vec<(Harm, String)>;

pub(crate) fn harms_are_found(mut run: Aftermath) {
    assert_eq!(found(&run.judge(&[]).unwrap()), BTreeMap::new(), "it reads as it did");
    let mut planted = Planted::new();
    repetitions(&run, &mut planted);
    planted.extend(row_of_an_old_epoch(&run));

    let lost = send(&run, 0, 1);
    planted.push((Harm::Lost, lost.place.to_string()));
    let passed = send(&run, 1, 2);
    commit_beyond(&run, &passed.place);
    for harm in [Harm::Lost, Harm::PassedUnresolved, Harm::AuditGaps] {
        planted.push((harm, passed.place.to_string()));
    }
    let sent = [lost, passed];

    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    planted.iter().for_each(|(harm, _)| *expected.entry(harm.name()).or_default() += 1);
    let report = run.judge(&sent).unwrap();
    assert_eq!(found(&report), expected);
    for (harm, named) in planted {
        let named = |(of, example): &(Harm, String)| *of == harm && example.contains(&named);
        assert!(report.examples.iter().any(named), "{}: {:#?}", harm.name(), report.examples);
    }
}

/// How many of each harm there are.
fn found(report: &Report) -> BTreeMap<&'static str, usize> {
    let counts = Harm::ALL.into_iter().map(|harm| (harm.name(), report.count(harm)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// An outcome, a derived event and a dead letter, each once more.
fn repetitions(run: &Aftermath, planted: &mut Planted) {
    let kafka = &run.world.kafka;
    let outcome = run.evidence.outcomes.iter().find(|outcome| outcome.kind == "processed").unwrap();
    let (partition, offset) = outcome.at;
    write_again(kafka, &Place { topic: AUDIT_TOPIC.into(), partition, offset });
    planted.push((Harm::DoubledOutcomes, outcome.place.to_string()));

    let derived = &run.evidence.derived[0];
    write_again(kafka, &derived.place);
    planted.push((Harm::DoubledDerived, derived.cause.clone()));

    let letter = run.evidence.forwarded.iter().find(|one| one.to == Forward::DeadLetter).unwrap();
    write_again(kafka, &letter.place);
    planted.push((Harm::DoubledForwards, letter.origin.to_string()));
}

/// The newest row of a key, written once more by an owner that had been succeeded by then.
fn row_of_an_old_epoch(run: &Aftermath) -> Planted {
    let newest = run.evidence.rows.iter().max_by_key(|row| (row.version, &row.key)).unwrap();
    let Row { key, version, cause, count, epoch, .. } = newest;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = PgConnection::connect(&run.world.postgres).await.unwrap();
        let bound = sqlx::query_scalar(NEWEST).bind(REGISTRY).bind(cause).bind(version);
        let data: String = bound.fetch_one(&mut database).await.unwrap();
        let mut data: Value = serde_json::from_str(&data).unwrap();
        (data["epoch"], data["count"]) = ((epoch - 1).into(), (count + 1).into());
        let bound = sqlx::query(AGAIN).bind(REGISTRY).bind(cause).bind(version);
        let done = bound.bind(data.to_string()).execute(&mut database).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{newest:?}");
    });
    let row = format!("{key} version {} by {cause}", version + 1);
    vec![(Harm::OldEpochWrites, row.clone()), (Harm::DoubledEffects, row)]
}

/// An event that no replica is there to handle; the `nth` beyond those of the run.
fn send(run: &Aftermath, partition: i32, nth: i64) -> Sent {
    let last = run.evidence.sent.iter().max_by_key(|sent| sent.sequence).unwrap();
    let sequence = last.sequence + nth;
    let (id, key) = (format!("drill-{sequence}"), format!("planted-{nth}"));
    let headers =
        [("ce_specversion", "1.0"), ("ce_id", &id), ("ce_source", "/drill/strict"), ("ce_type", "drill.step")];
    let headers = headers
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    write(&run.world.kafka, BaseRecord::to(TOPIC).partition(partition).key(&key).payload(b"a step").headers(headers));
    let offset = source_ends(&run.world.kafka).unwrap()[&partition] - 1;
    let place = Place { topic: TOPIC.into(), partition, offset };
    Sent {
        place,
        id: Some(id),
        key,
        sequence,
        ending: Ending::Processed,
        class: None,
        policy: last.policy,
        emits: false,
        writes: false,
    }
}

/// The group's position, by somebody who is no member.
fn commit_beyond(run: &Aftermath, place: &Place) {
    let group = client(&run.world.kafka, GROUP, "read_committed").unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.topic, place.partition, Offset::Offset(place.offset + 1)).unwrap();
    group.commit(&list, CommitMode::Sync).unwrap();
}

fn write_again(kafka: &str, place: &Place) {
    let record = read(kafka, place);
    let headers = record.headers().cloned().unwrap_or_else(OwnedHeaders::new);
    let again = BaseRecord::to(&place.topic).partition(place.partition).headers(headers);
    write(kafka, again.key(record.key().unwrap_or_default()).payload(record.payload().unwrap_or_default()));
}

fn read(kafka: &str, place: &Place) -> OwnedMessage {
    let consumer: BaseConsumer = client(kafka, "chaos-planter", "read_committed").unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&place.topic, place.partition, Offset::Offset(place.offset)).unwrap();
    consumer.assign(&list).unwrap();
    let message = (0..LOOKS_MAX).find_map(|_| match consumer.poll(LOOK) {
        None | Some(Err(KafkaError::PartitionEOF(_))) => None,
        Some(message) => Some(message.unwrap().detach()),
    });
    message.filter(|message| message.offset() == place.offset).unwrap_or_else(|| panic!("{place} cannot be read"))
}

fn write<K: ToBytes + ?Sized, V: ToBytes + ?Sized>(kafka: &str, record: BaseRecord<'_, K, V>) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka).create().unwrap();
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(FLUSH_LIMIT).unwrap();
}
