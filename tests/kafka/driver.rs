//! The driver end to end, with the real engine, on the real Kafka and on the embedded cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coafi::engine::Settings;
use coafi::kafka::{Config, Delivery, DriverError, Embedded, UNREADABLE_HEADERS};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};

use crate::cluster::{
    OpenOffsets, PATIENCE, Read, Reader, Written, bootstrap, committed, create_topics, delete_all, eventually, produce,
    unique,
};
use crate::echo::{self, Around, start};
use crate::foreign::{RawHeader, produce_raw};

struct Setup {
    bootstrap: String,
    source: String,
    outcomes: String,
    receipts: String,
    group: String,
}

const PARTITIONS: i32 = 4;

impl Setup {
    fn named(name: &str, bootstrap: String) -> Self {
        let topic = |kind: &str| unique(&format!("{name}-{kind}"));
        let (source, outcomes, receipts, group) =
            (topic("source"), topic("outcomes"), topic("receipts"), topic("group"));
        Self { bootstrap, source, outcomes, receipts, group }
    }

    async fn on_kafka(name: &str) -> Self {
        let setup = Self::named(name, bootstrap());
        let topics = [(&*setup.source, PARTITIONS), (&*setup.outcomes, PARTITIONS), (&*setup.receipts, 1)];
        create_topics(&setup.bootstrap, &topics).await;
        setup
    }

    fn config(&self, slot: &str) -> Config {
        Config::new(&self.bootstrap, &self.group, slot, &[&self.source])
    }

    fn start(&self, config: Config) -> coafi::kafka::Replica<echo::Echo> {
        start(config, &self.outcomes, Some(&self.receipts)).0
    }

    fn outcomes(&self) -> Reader {
        Reader::new(&self.bootstrap, &self.outcomes, PARTITIONS)
    }
}

fn written<'a>(key: &'a str, value: &'a str) -> Written<'a> {
    Written { key, value, headers: None }
}

/// `(partition, offset)` of the source record that an outcome is about, the outcome, and the record's value.
fn parse(read: &Read) -> ((i32, i64), &str, &str) {
    let mut words = read.value.splitn(5, ' ');
    let partition = words.next().unwrap().parse().unwrap();
    let offset = words.next().unwrap().parse().unwrap();
    let (_attempt, outcome) = (words.next().unwrap(), words.next().unwrap());
    ((partition, offset), outcome, words.next().unwrap())
}

fn ends(records: &[Read]) -> usize {
    records.iter().filter(|read| parse(read).1 != "retry").count()
}

/// Every source record has exactly one final outcome, and per key they come in the order of production.
fn check_exactly_once(records: &[Read], expected: usize) {
    let mut seen = BTreeMap::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for read in records {
        let (place, outcome, value) = parse(read);
        if outcome == "retry" {
            continue;
        }
        assert_eq!(seen.insert(place, outcome), None, "{place:?} ended twice");
        let number: u64 = value.rsplit(' ').next().unwrap().parse().unwrap();
        if let Some(before) = last.insert(&read.key, number) {
            assert!(before < number, "key {}: {number} after {before}", read.key);
        }
    }
    assert_eq!(seen.len(), expected);
}

async fn drained(replica: &coafi::kafka::Replica<echo::Echo>) {
    eventually("lag 0", || replica.status().assignment.len() == 4 && replica.status().lag() == Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_comes_through_a_transaction_and_lag_reaches_zero_behind_markers() {
    let setup = Setup::on_kafka("once").await;
    let values: Vec<(String, String)> = (0..1_000)
        .map(|i| {
            let kind = match i % 100 {
                7 => "fail 2",
                8 => "dead",
                9 => "filter",
                _ => "ok",
            };
            (format!("k{}", i % 37), format!("{kind} {i}"))
        })
        .collect();
    // In transactions, so that markers follow the records.
    for chunk in values.chunks(250) {
        produce(&setup.bootstrap, &setup.source, Some(&unique("tx")), chunk.iter().map(|(k, v)| written(k, v)));
    }
    let replica = setup.start(setup.config("0"));
    let mut outcomes = setup.outcomes();
    outcomes.read_until("1000 outcomes", |records| ends(records) >= 1_000);
    drained(&replica).await;
    assert!(replica.status().is_ready());
    let status = replica.shutdown().await.unwrap();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, 1_000);
    let counts = status.counts;
    assert_eq!((counts.polled, counts.processed, counts.dead_lettered, counts.filtered), (1_000, 980, 10, 10));
    assert_eq!(counts.retried, 20);
    let mut receipts = Reader::new(&setup.bootstrap, &setup.receipts, 1);
    receipts.read_to_end();
    let receipted: usize =
        receipts.records.iter().map(|r| r.value.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(receipted, 1_000);
}

/// A member that was evicted without knowing can claim after the owner did. The owner's writes are refused from then on, until
/// it claims again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_overtaken_is_made_again_and_nothing_is_repeated() {
    let setup = Setup::on_kafka("overtaken").await;
    let values: Vec<_> = (0..400)
        .map(|i| {
            // Every partition is overtaken twice, each at moments of its own.
            let kind = match i % 50 {
                30 => "claim 3",
                10..14 => "claim 2",
                _ => "ok",
            };
            (format!("k{}", i % 20), format!("{kind} {i}"))
        })
        .collect();
    produce(&setup.bootstrap, &setup.source, None, values.iter().map(|(k, v)| written(k, v)));
    let replica = setup.start(setup.config("0"));
    let mut outcomes = setup.outcomes();
    outcomes.read_until("400 outcomes", |records| ends(records) >= 400);
    drained(&replica).await;
    let status = replica.shutdown().await.unwrap();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, 400);
    assert_eq!((status.counts.processed, status.counts.retried), (400, 0));
}

/// The committed offset of one partition belongs to an open transaction, as after a `kill -9`: it waits, and neither the other
/// partitions nor the group do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_whose_committed_offset_is_not_decided_holds_up_nobody() {
    let setup = Setup::on_kafka("undecided").await;
    let values: Vec<(String, String)> = (0..200).map(|i| (format!("k{i}"), format!("ok {i}"))).collect();
    produce(&setup.bootstrap, &setup.source, None, values.iter().map(|(k, v)| written(k, v)));
    let undecided = OpenOffsets::hold(&setup.bootstrap, &setup.group, &setup.source, 0);
    let placed = |replica: &coafi::kafka::Replica<echo::Echo>| {
        let assignment = replica.status().assignment;
        let lag = assignment.iter().map(|partition| partition.lag()).sum::<Option<i64>>();
        (assignment.iter().map(|partition| partition.source.partition).collect::<BTreeSet<i32>>(), lag)
    };
    let first = setup.start(setup.config("a"));
    eventually("the others are handled", || placed(&first) == ([1, 2, 3].into(), Some(0))).await;
    assert!(first.status().settling);
    // The group goes on, too: whoever comes gets its share.
    let second = setup.start(setup.config("b"));
    eventually("both have partitions", || {
        let (mine, theirs) = (placed(&first).0, placed(&second).0);
        !theirs.is_empty() && mine.union(&theirs).copied().collect::<BTreeSet<_>>() == [1, 2, 3].into()
    })
    .await;
    undecided.abort();
    eventually("all is handled", || {
        let ((mine, my_lag), (theirs, their_lag)) = (placed(&first), placed(&second));
        mine.len() + theirs.len() == 4 && my_lag == Some(0) && their_lag == Some(0)
    })
    .await;
    second.shutdown().await.unwrap();
    first.shutdown().await.unwrap();
    let mut outcomes = setup.outcomes();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, 200);
}

/// The database does not answer when partitions are assigned: what needs no claim is handled, and what does once it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_start_without_a_claim_and_get_it_when_it_is_needed() {
    let setup = Setup::on_kafka("unclaimed").await;
    let claims = echo::Counted { away: 2.into(), ..echo::Counted::default() };
    let around = Around { claims, ..Around::default() };
    let (replica, _) = echo::start_with(setup.config("0"), &setup.outcomes, Some(&setup.receipts), around);
    let plain: Vec<(String, String)> = (0..100).map(|i| (format!("k{i}"), format!("ok {i}"))).collect();
    produce(&setup.bootstrap, &setup.source, None, plain.iter().map(|(k, v)| written(k, v)));
    let mut outcomes = setup.outcomes();
    outcomes.read_until("100 outcomes without a claim", |records| ends(records) >= 100);
    let fenced: Vec<(String, String)> = (100..200).map(|i| (format!("k{}", i - 100), format!("claim 1 {i}"))).collect();
    produce(&setup.bootstrap, &setup.source, None, fenced.iter().map(|(k, v)| written(k, v)));
    outcomes.read_until("100 outcomes with one", |records| ends(records) >= 200);
    drained(&replica).await;
    replica.shutdown().await.unwrap();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, 200);
}

/// Retention passes the position of a replica that reads: what is gone is reported, what was read and what comes later is
/// handled, and nothing stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_from_under_a_reader_is_reported_and_the_rest_goes_on() {
    const RECORDS: usize = 20_000;
    let setup = Setup::on_kafka("retention").await;
    let padding = "x".repeat(1_000);
    let value = |i: usize| format!("{} {padding} {i}", if i == 0 { "gate" } else { "ok" });
    let values: Vec<(String, String)> = (0..RECORDS).map(|i| (format!("k{}", i % 40), value(i))).collect();
    produce(&setup.bootstrap, &setup.source, None, values.iter().map(|(k, v)| written(k, v)));

    let mut config = setup.config("0");
    config.continue_after_loss.insert(setup.source.clone());
    config.fetch_queue_bytes = 64 << 10;
    let settings = Settings { max_records: 100, max_in_flight: 100, commit_max_records: 100, ..echo::settings() };
    let gate = echo::Gate::closed();
    let around = Around { settings, gate: gate.clone(), ..Around::default() };
    let (replica, started) = echo::start_with(config, &setup.outcomes, None, around);
    eventually("a full engine", || replica.status().counts.polled >= 100).await;
    delete_all(&setup.bootstrap, &setup.source, PARTITIONS).await;
    let later: Vec<(String, String)> = (0..40).map(|i| (format!("k{i}"), format!("ok {}", RECORDS + i))).collect();
    produce(&setup.bootstrap, &setup.source, None, later.iter().map(|(k, v)| written(k, v)));
    gate.open();
    drained(&replica).await;
    replica.shutdown().await.unwrap();

    let mut outcomes = setup.outcomes();
    outcomes.read_to_end();
    let (lost, handled): (Vec<Read>, Vec<Read>) =
        outcomes.records.into_iter().partition(|read| read.value.starts_with("lost "));
    let places: BTreeSet<(i32, i64)> = handled.iter().map(|read| parse(read).0).collect();
    assert_eq!(places.len(), handled.len(), "handled twice");
    let gone: usize = lost.iter().map(|read| lost_offsets(&read.value)).sum();
    assert_eq!(places.len() + gone, RECORDS + later.len(), "{} handled, {gone} lost", places.len());
    assert!(gone > 0 && handled.iter().filter(|read| read.value.len() < 100).count() == later.len());
    assert!(started.load(Ordering::Relaxed) >= places.len() as u64);
}

/// Of `lost <partition> <from> <to>`.
fn lost_offsets(value: &str) -> usize {
    let numbers: Vec<usize> = value.rsplit(' ').take(2).map(|number| number.parse().unwrap()).collect();
    numbers[0] - numbers[1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_comes_back_and_a_restart_repeats_nothing() {
    let setup = Setup::on_kafka("metadata").await;
    produce(&setup.bootstrap, &setup.source, None, (0..50).map(|_| written("k", "ok 1")));
    for slot in ["a", "a"] {
        let (replica, _) = start(setup.config(slot), &setup.outcomes, None);
        drained(&replica).await;
        replica.shutdown().await.unwrap();
    }
    let positions = committed(&setup.bootstrap, &setup.group, &setup.source, PARTITIONS);
    assert_eq!(positions.values().map(|(position, _)| position).sum::<i64>(), 50);
    assert!(positions.values().any(|(_, metadata)| !metadata.is_empty()), "{positions:?}");
    let mut outcomes = setup.outcomes();
    outcomes.read_to_end();
    assert_eq!(outcomes.records.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_come_and_go_lose_nothing_and_double_nothing() {
    const RECORDS: usize = 20_000;
    let setup = Setup::on_kafka("rolling").await;
    let values: Vec<(String, String)> = (0..RECORDS).map(|i| (format!("k{}", i % 200), format!("ok {i}"))).collect();
    let feed = {
        let (bootstrap, source, values) = (setup.bootstrap.clone(), setup.source.clone(), values.clone());
        std::thread::spawn(move || {
            for chunk in values.chunks(1_000) {
                produce(&bootstrap, &source, None, chunk.iter().map(|(k, v)| written(k, v)));
            }
        })
    };
    let mut outcomes = setup.outcomes();
    let slots = ["0", "1", "2"];
    let mut replicas: Vec<_> = slots.iter().map(|slot| setup.start(setup.config(slot))).collect();
    for round in 1..=6 {
        outcomes.read_until("the next part", |records| records.len() >= round * RECORDS / 8);
        let leaving = replicas.remove(0);
        leaving.shutdown().await.unwrap();
        replicas.push(setup.start(setup.config(slots[(round - 1) % 3])));
    }
    outcomes.read_until("all outcomes", |records| records.len() >= RECORDS);
    feed.join().unwrap();
    for replica in replicas {
        replica.shutdown().await.unwrap();
    }
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, RECORDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_with_one_slot_one_gives_up_and_nothing_is_lost() {
    let setup = Setup::on_kafka("slot").await;
    let mut first = setup.start(setup.config("same"));
    eventually("first is a member", || first.status().is_ready()).await;
    let mut second = setup.start(setup.config("same"));
    let watches = [first.watch(), second.watch()];
    let handled = || watches.iter().map(|watch| watch.status().counts.processed).sum::<u64>();
    let (mut total, deadline) = (0, Instant::now() + PATIENCE);
    let loser = loop {
        let values: Vec<(String, String)> = (0..40).map(|i| (format!("k{i}"), format!("ok {}", total + i))).collect();
        produce(&setup.bootstrap, &setup.source, None, values.iter().map(|(k, v)| written(k, v)));
        total += 40;
        tokio::select! {
            ended = first.ended() => break (ended, second),
            ended = second.ended() => break (ended, first),
            () = eventually("these are handled", || handled() >= total as u64) => {
                assert!(Instant::now() < deadline, "both live on");
            }
        }
    };
    let (ended, survivor) = loser;
    assert!(matches!(ended, Err(DriverError::SlotConflict { .. })), "{ended:?}");
    let mut outcomes = setup.outcomes();
    outcomes.read_until("all outcomes", |records| records.len() >= total);
    survivor.shutdown().await.unwrap();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, total);
}

/// As an earlier join of a static member that its coordinator serves late: it has the id from then on, and nobody is there.
async fn join_in_the_name_of(instance_id: &str, setup: &Setup) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &setup.bootstrap).set("group.id", &setup.group);
    config.set("group.instance.id", instance_id).set("partition.assignment.strategy", "cooperative-sticky");
    let late: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
    late.subscribe(&[&setup.source]).unwrap();
    eventually("it is a member", || {
        let _ = late.poll(Duration::ZERO);
        late.assignment().unwrap().count() > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_that_is_fenced_joins_anew_and_the_second_time_it_is_a_conflict() {
    const PART: usize = 400;
    for delivery in [Delivery::Transactional, Delivery::AtLeastOnce] {
        let setup = Setup::on_kafka("fenced").await;
        let mut config = setup.config("0");
        (config.instance_id, config.delivery) = (Some("the-id".to_owned()), delivery);
        let mut replica = setup.start(config);
        let mut outcomes = setup.outcomes();
        let produce_part = |part: usize| {
            let values = (part * PART..(part + 1) * PART).map(|i| (format!("k{}", i % 40), format!("ok {i}")));
            let values: Vec<(String, String)> = values.collect();
            produce(&setup.bootstrap, &setup.source, None, values.iter().map(|(key, value)| written(key, value)));
        };
        produce_part(0);
        outcomes.read_until("it works", |records| records.len() >= PART / 2);

        join_in_the_name_of("the-id", &setup).await;
        produce_part(1);
        outcomes.read_until("it works again", |records| {
            let places: BTreeSet<(i32, i64)> = records.iter().map(|read| parse(read).0).collect();
            places.len() == 2 * PART
        });
        if delivery == Delivery::Transactional {
            check_exactly_once(&outcomes.records, 2 * PART);
        }
        eventually("the lag is 0", || replica.status().is_ready() && replica.status().lag() == Some(0)).await;

        join_in_the_name_of("the-id", &setup).await;
        let ended = replica.ended().await;
        assert!(matches!(ended, Err(DriverError::InstanceConflict { .. })), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_name_that_is_not_text_is_poison_and_the_rest_of_the_record_survives() {
    let setup = Setup::on_kafka("foreign").await;
    let headers: [RawHeader<'_>; 3] = [(b"good", Some(b"\xff")), (b"\xff\xfe", Some(b"lost")), (b"null", None)];
    produce_raw(&setup.bootstrap, &setup.source, 0, b"ok 1", &headers);
    produce_raw(&setup.bootstrap, &setup.source, 0, b"ok 2", &[]);
    let replica = setup.start(setup.config("0"));
    drained(&replica).await;
    replica.shutdown().await.unwrap();
    let mut outcomes = setup.outcomes();
    outcomes.read_to_end();
    outcomes.records.sort_by_key(|read| parse(read).0);
    let seen: Vec<_> = outcomes.records.iter().map(|read| (parse(read).1, parse(read).2)).collect();
    assert_eq!(seen, [("dead", "ok 1"), ("processed", "ok 2")]);
    assert_eq!(outcomes.records[0].headers, ["good", "null", UNREADABLE_HEADERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_is_said_and_found_when_it_comes() {
    let setup = Setup::named("late", bootstrap());
    let replica = setup.start(setup.config("0"));
    eventually("trouble", || replica.status().trouble.is_some_and(|trouble| trouble.contains(&setup.source))).await;
    create_topics(
        &setup.bootstrap,
        &[(&*setup.source, PARTITIONS), (&*setup.outcomes, PARTITIONS), (&*setup.receipts, 1)],
    )
    .await;
    produce(&setup.bootstrap, &setup.source, None, [written("k", "ok 1")]);
    drained(&replica).await;
    replica.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_absent_is_waited_for_and_status_says_so() {
    // Nobody listens on port 1.
    let setup = Setup::named("absent", "127.0.0.1:1".to_owned());
    let replica = setup.start(setup.config("0"));
    eventually("brokers down", || replica.status().brokers_down).await;
    assert!(!replica.status().is_ready());
    replica.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_cluster_carries_the_same_driver_at_least_once() {
    let mut setup = Setup::named("embedded", String::new());
    let cluster = Embedded::start(&[(&setup.source, 4), (&setup.outcomes, 4), (&setup.receipts, 1)]).unwrap();
    setup.bootstrap = cluster.bootstrap_servers().to_owned();
    let headers = || OwnedHeaders::new().insert(Header { key: "null", value: None::<&[u8]> });
    let headers = || headers().insert(Header { key: "bytes", value: Some(&b"\xff\xfe"[..]) });
    let values: Vec<(String, String)> = (0..500).map(|i| (format!("k{}", i % 7), format!("ok {i}"))).collect();
    let records = values.iter().map(|(key, value)| Written { key, value, headers: Some(headers()) });
    produce(&setup.bootstrap, &setup.source, None, records);
    let mut config = setup.config("0");
    config.delivery = Delivery::AtLeastOnce;
    let replica = setup.start(config);
    drained(&replica).await;
    let status = replica.shutdown().await.unwrap();
    assert_eq!((status.counts.polled, status.counts.processed), (500, 500));
    let mut outcomes = setup.outcomes();
    outcomes.read_to_end();
    check_exactly_once(&outcomes.records, 500);
    assert!(outcomes.records.iter().all(|read| read.headers == ["null", "bytes"]));
    assert!(outcomes.records.iter().all(|read| !read.headers.iter().any(|h| h == UNREADABLE_HEADERS)));
}
