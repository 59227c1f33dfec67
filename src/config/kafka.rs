//! The connection to Kafka, the consumer group, and delivery.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Secret;
use super::section::Section;
use crate::kafka::properties::refusal;

/// How outputs and offsets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Outcomes, derived events and offsets in one Kafka transaction.
    Transactional,
    /// Idempotent producer; offsets are committed after all replicas have the outcomes.
    AtLeastOnce,
}

/// How the group takes a replica that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// One that comes back within the session timeout is the one that was there, and has its partitions at once.
    Static,
    /// Each is new: the partitions of one that was killed wait for the end of its session.
    Dynamic,
}

/// Where a group without a committed offset starts. It never moves a group that has one (I10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    pub bootstrap_servers: String,
    /// Further librdkafka properties (security, tuning); those that delivery depends on are refused.
    pub client: BTreeMap<String, Secret>,
    pub group_id: String,
    /// Part of the ids of audit records and of effects: new with an offset reset or a replay, empty for the first run.
    pub run: String,
    membership: Membership,
    /// Of a static member; else it is made from the slot: see [`Kafka::instance_id`].
    group_instance_id: Option<String>,
    /// What stays the same when this replica restarts: see [`Kafka::slot`].
    slot: Option<String>,
    pub delivery: Delivery,
    pub start: Start,
    pub commit: Commit,
    /// `transaction.timeout.ms`: how long readers stall after a replica was killed.
    pub transaction_timeout: Duration,
    /// How long handlers may run on after a revocation or SIGTERM.
    pub drain_timeout: Duration,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub queues: Queues,
}

/// When a transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// At the latest this long after its first output.
    pub interval: Duration,
    /// ... or after this many outputs.
    pub max_records: usize,
}

/// Bounds of librdkafka's own memory (I7), in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Fetched and not yet polled, over all partitions.
    pub fetched_max_bytes: u64,
    /// Produced and not yet acknowledged.
    pub producer_max_bytes: u64,
}

impl Kafka {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let ms = Duration::from_millis;
        let kafka = Self {
            bootstrap_servers: section.text("bootstrap_servers", "127.0.0.1:9092"),
            client: section.properties("client", "client_files", refusal, is_secret),
            group_id: section.text("group_id", "coafi"),
            run: section.parsed("run", String::new(), RUN, parse_run, Clone::clone),
            membership: section
                .choice("membership", &[("static", Membership::Static), ("dynamic", Membership::Dynamic)]),
            group_instance_id: section.optional_text("group_instance_id"),
            slot: section.optional_text("slot"),
            delivery: section.choice(
                "delivery",
                &[("transactional", Delivery::Transactional), ("at_least_once", Delivery::AtLeastOnce)],
            ),
            start: section.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]),
            commit: section.section("commit", |s| Commit {
                interval: s.duration("interval", ms(100), ms(1)..=minutes(1)),
                max_records: s.integer("max_records", 10_000, 1..=1_000_000),
            }),
            transaction_timeout: section.duration("transaction_timeout", ms(10_000), ms(1_000)..=minutes(15)),
            drain_timeout: section.section("drain", |s| s.duration("timeout", ms(20_000), ms(0)..=minutes(60))),
            session_timeout: section.duration("session_timeout", ms(6_000), ms(1_000)..=minutes(30)),
            heartbeat_interval: section.duration("heartbeat_interval", ms(500), ms(50)..=minutes(1)),
            queues: section.section("queues", |s| Queues {
                fetched_max_bytes: s.size("fetched_max_bytes", 8 << 20, 1 << 20..=1 << 30),
                producer_max_bytes: s.size("producer_max_bytes", 16 << 20, 1 << 20..=1 << 30),
            }),
        };
        kafka.check(section);
        kafka
    }

    fn check(&self, section: &mut Section<'_>) {
        if self.commit.interval * 2 > self.transaction_timeout {
            section
                .reject("transaction_timeout", "must be at least twice kafka.commit.interval, or transactions expire");
        }
        if self.heartbeat_interval * 3 > self.session_timeout {
            section.reject("session_timeout", "must be at least three times kafka.heartbeat_interval");
        }
        if self.membership == Membership::Dynamic && self.group_instance_id.is_some() {
            section.reject("group_instance_id", "is of static members; kafka.membership is dynamic");
        }
    }

    /// The stable half of `transactional.id`: the configured slot, else the host's name. Two replicas on one host need two
    /// slots, or the second fences the first.
    #[must_use]
    pub fn slot(&self) -> String {
        self.slot.clone().unwrap_or_else(host_name)
    }

    /// `group.instance.id` of the replica with this slot; `None` for a dynamic member. Kafka allows letters, digits and
    /// `._-`: other bytes, and `_` itself, become `_` and two hexadecimal digits, so that no two slots share an id.
    #[must_use]
    pub fn instance_id(&self, slot: &str) -> Option<String> {
        if self.membership == Membership::Dynamic {
            return None;
        }
        let encoded = |byte: u8| match byte {
            b'.' | b'-' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("_{byte:02x}"),
        };
        Some(self.group_instance_id.clone().unwrap_or_else(|| slot.bytes().map(encoded).collect()))
    }
}

const RUN: &str = "up to 64 letters, digits, dots, underscores and hyphens";

fn parse_run(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (is_plain && text.len() <= 64).then(|| text.to_owned())
}

/// What librdkafka itself treats as sensitive.
pub(super) fn is_secret(property: &str) -> bool {
    property.ends_with(".password")
        || property.ends_with(".secret")
        || property.ends_with(".pem")
        || matches!(property, "sasl.oauthbearer.config" | "sasl.jaas.config")
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
