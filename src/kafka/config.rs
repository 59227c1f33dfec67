//! What a replica is told about Kafka, and the client properties that follow from it.
//!
//! A property of [`Config::properties`] that correctness or memory depends on is refused; the others take effect instead of
//! what is set here (see [`super::properties`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::members::NAMED_BY_SLOT;
use super::{DriverError, properties};

/// What librdkafka may prefetch for all partitions together, in bytes (its default is 64 MiB *per partition*).
const FETCH_QUEUE_BYTES: u64 = 8 << 20;
/// Messages prefetched at most, all partitions together.
const FETCH_QUEUE_MESSAGES: u32 = 20_000;
/// What one fetch response may hold of one partition, in bytes.
const FETCH_PARTITION_BYTES: u32 = 1024 * 1024;
/// What one fetch response may hold, in bytes. Must be at least the largest record batch of the cluster.
const FETCH_BYTES: u32 = 8 * 1024 * 1024;
/// Each producer's queue, in bytes (its default is 1 GiB).
const PRODUCE_QUEUE_BYTES: u64 = 16 << 20;
/// Messages in the producer's queue.
const PRODUCE_QUEUE_MESSAGES: u32 = 100_000;
/// How long an open transaction lives without a sign of its producer: what readers stall after `kill -9`.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A record outside of transactions survives a broker that is gone for a minute.
pub(super) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Reports of the replica's status that may wait to be published.
const STATUS_QUEUE_MESSAGES: u32 = 10;
/// After this a report is old news.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// New topics and partitions are found within this time, by those who read and by those who write.
pub(super) const METADATA_REFRESH: Duration = Duration::from_secs(10);
const METADATA_REFRESH_PROPERTY: &str = "topic.metadata.refresh.interval.ms";
const RETRY_BACKOFF_MAX: &str = "retry.backoff.max.ms";

/// How outcomes and offsets are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Outcomes and offsets in one Kafka transaction.
    Transactional,
    /// Outcomes acknowledged by all in-sync replicas, then the offsets.
    AtLeastOnce,
}

/// Where a group begins that has no committed offset for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// A replica's Kafka side.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Further librdkafka properties: security, timeouts of the network.
    pub properties: BTreeMap<String, String>,
    /// The consumer group.
    pub group: String,
    /// What makes this replica's `transactional.id` (group + slot) stable over restarts. Two live replicas must not
    /// share one: they fence each other until one gives up.
    pub slot: String,
    /// Topics to consume, retry topics included.
    pub topics: Vec<String>,
    pub delivery: Delivery,
    pub start: Start,
    /// Topics whose records are not deduplicated: the retry topics.
    pub not_deduplicated: BTreeSet<String>,
    /// Topics whose partitions go on after retention has passed their position, instead of standing still (I10).
    pub continue_after_loss: BTreeSet<String>,
    /// Static membership (`group.instance.id`): who comes back under it before the session is over has its partitions at
    /// once. A shutdown leaves the group all the same.
    pub instance_id: Option<String>,
    /// Whoever joins under the same `group.instance.id` later has it: a replica that is fenced ends, and does not try once
    /// more with another consumer, which would fence the other one in turn.
    pub yields: bool,
    /// After this long without a heartbeat the group takes the replica's partitions away; 6 to 10 s.
    pub session_timeout: Duration,
    /// Between two signs of life to the group; at most a third of `session_timeout`.
    pub heartbeat_interval: Duration,
    /// How long an open transaction lives without a sign of its producer: what readers stall after `kill -9`.
    pub transaction_timeout: Duration,
    /// What is fetched and not yet polled, over all partitions, in bytes.
    pub fetch_queue_bytes: u64,
    /// What each producer holds that is not acknowledged, in bytes.
    pub produce_queue_bytes: u64,
    /// `compression.type` of what is produced: `none`, `gzip`, `lz4`, `zstd`, `snappy`.
    pub compression: String,
    /// The largest record that is produced, in bytes (`message.max.bytes`). What a topic takes may be less.
    pub max_record_bytes: u32,
    /// How long a commit that is under way when the drain timeout is over may still take.
    pub commit_timeout: Duration,
}

impl Config {
    /// A configuration with the documented defaults.
    #[must_use]
    pub fn new(bootstrap_servers: &str, group: &str, slot: &str, topics: &[&str]) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            properties: BTreeMap::new(),
            group: group.to_owned(),
            slot: slot.to_owned(),
            topics: topics.iter().map(|&t| t.to_owned()).collect(),
            delivery: Delivery::Transactional,
            start: Start::Earliest,
            not_deduplicated: BTreeSet::new(),
            continue_after_loss: BTreeSet::new(),
            instance_id: None,
            yields: false,
            session_timeout: Duration::from_secs(6),
            heartbeat_interval: Duration::from_millis(500),
            transaction_timeout: TRANSACTION_TIMEOUT,
            fetch_queue_bytes: FETCH_QUEUE_BYTES,
            produce_queue_bytes: PRODUCE_QUEUE_BYTES,
            compression: "lz4".to_owned(),
            max_record_bytes: 1_000_000,
            commit_timeout: Duration::from_secs(5),
        }
    }

    /// The `transactional.id`: `<group>/<slot>`. It begins with the group, for ACLs by prefix. The last `/` divides it, since
    /// one in the slot is encoded: group `a` with slot `b-c` and group `a-b` with slot `c` do not fence each other.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        format!("{}/{}", self.group, self.slot.replace('%', "%25").replace('/', "%2F"))
    }

    /// What clients are called: by the slot, unless the configuration says otherwise.
    pub(super) fn client_id(&self) -> String {
        let given = self.properties.get("client.id");
        given.cloned().unwrap_or_else(|| format!("{NAMED_BY_SLOT}{}", self.slot))
    }

    /// Properties of the group's consumer.
    pub(super) fn consumer(&self) -> Result<ClientConfig, DriverError> {
        let mut own = reader_properties();
        own.extend([
            ("group.id", self.group.clone()),
            ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
            ("heartbeat.interval.ms", self.heartbeat_interval.as_millis().to_string()),
            ("session.timeout.ms", self.session_timeout.as_millis().to_string()),
            // A partition whose position is gone is an event (I10), never a silent jump.
            ("auto.offset.reset", "error".to_owned()),
            ("queued.min.messages", FETCH_QUEUE_MESSAGES.to_string()),
            ("queued.max.messages.kbytes", kilobytes(self.fetch_queue_bytes)),
            ("fetch.message.max.bytes", FETCH_PARTITION_BYTES.to_string()),
            ("fetch.max.bytes", FETCH_BYTES.to_string()),
            // The default of 1000 stalls a full second whenever the local queue is full.
            ("fetch.queue.backoff.ms", "10".to_owned()),
            ("fetch.wait.max.ms", "100".to_owned()),
            (METADATA_REFRESH_PROPERTY, METADATA_REFRESH.as_millis().to_string()),
        ]);
        if let Some(instance) = &self.instance_id {
            own.push(("group.instance.id", instance.clone()));
        }
        self.client(own)
    }

    /// Properties of the consumers that read beside the group: deduplication windows, proofs of gaps.
    pub(super) fn side_reader(&self, purpose: &str) -> Result<ClientConfig, DriverError> {
        let mut own = reader_properties();
        own.extend([
            // `assign` needs a group; this one never joins and never commits.
            ("group.id", format!("{}.{purpose}", self.group)),
            ("auto.offset.reset", "earliest".to_owned()),
            ("queued.max.messages.kbytes", "4096".to_owned()),
            ("fetch.wait.max.ms", "10".to_owned()),
            ("fetch.queue.backoff.ms", "10".to_owned()),
        ]);
        let mut client = self.client(own)?;
        properties::never_joins(&mut client);
        Ok(client)
    }

    /// Properties of the producer that carries outcomes.
    pub(super) fn outcome_producer(&self) -> Result<ClientConfig, DriverError> {
        let mut own = self.producer_properties();
        match self.delivery {
            Delivery::Transactional => own.extend([
                ("transactional.id", self.transactional_id()),
                ("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string()),
                // A record of a transaction is given up before the transaction is.
                ("message.timeout.ms", (self.transaction_timeout * 9 / 10).as_millis().to_string()),
                // A call of `send_offsets_to_transaction` that was given up (see `transactions`) ends when any connection of its
                // producer changes its state, and else never (librdkafka#5456, #5511). Closing those that are silent is such a
                // change; whatever is still asked on them is of no use to the transaction any more.
                ("connections.max.idle.ms", self.transaction_timeout.as_millis().to_string()),
            ]),
            Delivery::AtLeastOnce => own.push(("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())),
        }
        // Success needs no word per record; failures are counted.
        own.push(("delivery.report.only.error", "true".to_owned()));
        self.client(own)
    }

    /// Properties of the producer that carries receipts.
    pub(super) fn receipt_producer(&self) -> Result<ClientConfig, DriverError> {
        let mut own = self.producer_properties();
        own.retain(|(name, _)| *name != RETRY_BACKOFF_MAX);
        own.extend([
            ("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string()),
            // Everything waits for the first receipt after an outage of the ledger.
            (RETRY_BACKOFF_MAX, "200".to_owned()),
        ]);
        self.client(own)
    }

    /// Properties of the producer that carries the replica's status.
    pub(super) fn status_producer(&self) -> Result<ClientConfig, DriverError> {
        let mut own = self.producer_properties();
        own.retain(|(name, _)| *name != "queue.buffering.max.messages");
        own.extend([
            ("queue.buffering.max.messages", STATUS_QUEUE_MESSAGES.to_string()),
            ("message.timeout.ms", STATUS_TIMEOUT.as_millis().to_string()),
        ]);
        self.client(own)
    }

    fn producer_properties(&self) -> Vec<(&'static str, String)> {
        vec![
            // A producer that is not idempotent reorders on its own retries.
            ("enable.idempotence", "true".to_owned()),
            ("acks", "all".to_owned()),
            // As Java clients choose partitions.
            ("partitioner", "murmur2_random".to_owned()),
            ("compression.type", self.compression.clone()),
            ("linger.ms", "1".to_owned()),
            ("message.max.bytes", self.max_record_bytes.to_string()),
            ("queue.buffering.max.kbytes", kilobytes(self.produce_queue_bytes)),
            ("queue.buffering.max.messages", PRODUCE_QUEUE_MESSAGES.to_string()),
            // AddOffsetsToTxn straight after a commit meets CONCURRENT_TRANSACTIONS; the default backs off 100 ms.
            ("retry.backoff.ms", "1".to_owned()),
            (RETRY_BACKOFF_MAX, "500".to_owned()),
            (METADATA_REFRESH_PROPERTY, METADATA_REFRESH.as_millis().to_string()),
        ]
    }

    fn client(&self, own: Vec<(&'static str, String)>) -> Result<ClientConfig, DriverError> {
        let mut client = ClientConfig::new();
        client.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in &self.properties {
            if let Some(instead) = properties::refusal(name) {
                return Err(DriverError::ReservedProperty { name: name.clone(), instead });
            }
            client.set(name, value);
        }
        properties::set(&mut client, "bootstrap.servers", &self.bootstrap_servers);
        properties::set(&mut client, "client.id", &self.client_id());
        // Idle connections are closed by brokers as a matter of course.
        properties::set(&mut client, "log.connection.close", "false");
        properties::set_common(&mut client);
        for (name, value) in own {
            properties::set(&mut client, name, &value);
        }
        Ok(client)
    }
}

fn kilobytes(bytes: u64) -> String {
    (bytes / 1024).max(1).to_string()
}

fn reader_properties() -> Vec<(&'static str, String)> {
    vec![
        ("isolation.level", "read_committed".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("enable.partition.eof", "true".to_owned()),
        ("check.crcs", "true".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_accepts_every_property() {
        let mut config = Config::new("127.0.0.1:1", "g", "0", &["t"]);
        config.instance_id = Some("i".to_owned());
        config.properties.insert("max.poll.interval.ms".into(), "6000".into());
        for compression in ["none", "gzip", "lz4", "zstd", "snappy"] {
            config.compression = compression.to_owned();
            config.receipt_producer().unwrap().create_native_config().unwrap();
        }
        config.consumer().unwrap().create_native_config().unwrap();
        config.status_producer().unwrap().create_native_config().unwrap();
        config.side_reader("x").unwrap().create_native_config().unwrap();
        for delivery in [Delivery::Transactional, Delivery::AtLeastOnce] {
            config.delivery = delivery;
            config.outcome_producer().unwrap().create_native_config().unwrap();
        }
    }

    #[test]
    fn no_two_replicas_share_a_transactional_id() {
        let names = ["coafi", "a-b", "coafi-a", "b", "a/b", "coafi/a", "a%2Fb", "%"];
        let mut ids = BTreeSet::new();
        for group in names {
            for slot in names {
                let id = Config::new("127.0.0.1:1", group, slot, &["t"]).transactional_id();
                assert!(id.starts_with(group), "{id}: an ACL for the group's prefix");
                assert!(ids.insert(id.clone()), "{id} of group {group} and slot {slot} is another's");
            }
        }
    }

    #[test]
    fn a_property_that_promises_rest_on_is_refused() {
        let mut config = Config::new("127.0.0.1:1", "g", "0", &["t"]);
        config.properties.insert("isolation.level".into(), "read_uncommitted".into());
        let error = config.consumer().unwrap_err().to_string();
        assert!(error.contains("isolation.level") && error.contains("committed records only"), "{error}");
    }

    #[test]
    fn whatever_is_set_here_is_refused_or_gives_way() {
        type Made = fn(&Config) -> Result<ClientConfig, DriverError>;
        let clients: [Made; 5] = [
            Config::consumer,
            |c| c.side_reader("x"),
            Config::outcome_producer,
            Config::receipt_producer,
            Config::status_producer,
        ];
        let mut tuning = BTreeSet::new();
        for make in clients {
            let plain = Config::new("127.0.0.1:1", "g", "0", &["t"]);
            for name in make(&plain).unwrap().config_map().keys() {
                let mut config = plain.clone();
                config.properties.insert(name.to_string(), "theirs".to_owned());
                match make(&config) {
                    Ok(client) => {
                        assert_eq!(client.get(name), Some("theirs"));
                        tuning.insert(name.to_string());
                    }
                    Err(error) => assert!(properties::refusal(name).is_some(), "{error}"),
                }
            }
        }
        for name in ["linger.ms", "compression.type", "retry.backoff.ms", "fetch.wait.max.ms", "queued.min.messages"] {
            assert!(tuning.contains(name), "{name}: {tuning:?}");
        }
    }
}
