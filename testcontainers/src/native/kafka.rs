//! A broker that is its own controller (KRaft), and the nodes of a cluster: one controller, several brokers.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{artifacts, run};
use crate::port;

/// To standard output, which is the log file of the process. Without the two that have a line each for every attempt at a
/// transaction's marker: where a topic takes no records the broker makes thousands in a second, gigabytes in a minute.
const LOGGING: &str = "\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.append.name = kafka.server.ReplicaManager
logger.append.level = fatal
logger.marker.name = kafka.coordinator.transaction.TransactionMarkerRequestCompletionHandler
logger.marker.level = error
";

pub(super) fn command(directory: &Path, port: u16) -> Result<Command> {
    let classpath = format!("{}/*", artifacts::kafka_jars()?.display());
    let properties = directory.join("server.properties");
    if !properties.exists() {
        let text = server_properties(directory, port, port::free(1)?[0]);
        format_storage(directory, &text, &cluster_id(), &classpath, &[])?;
    }
    let mut java = java(&classpath, directory);
    // Measured resident under a full bench: about 700 MB. The serial collector is the smallest, and on two cores not
    // the slowest.
    java.args(["-Xmx512m", "-XX:+UseSerialGC", "kafka.Kafka"]).arg(properties);
    Ok(java)
}

/// A broker that shuts down under control and has nobody to hand its partitions to leaves them without a leader first, and
/// then its coordinator drops the markers of transactions that are being committed, since "these partitions are likely
/// deleted already" (seen with 4.3.0): such a transaction stays open for ever, in some of its partitions, and its offsets
/// too. Whoever restarts a broker again and again under transactions cannot have that; the price is that the next start
/// waits for the end of the broker's old session, 9 s.
const NO_CONTROLLED_SHUTDOWN: &str = "controlled.shutdown.enable=false\n";

/// As [`command`], with listeners that advertise other ports than their own.
pub(super) fn prepare(directory: &Path, port: u16, proxied: &[Proxied]) -> Result<()> {
    let classpath = format!("{}/*", artifacts::kafka_jars()?.display());
    let properties = server_properties(directory, port, port::free(1)?[0]) + NO_CONTROLLED_SHUTDOWN;
    format_storage(directory, &with_listeners(properties, proxied), &cluster_id(), &classpath, &[])
}

/// As [`command`], with more lines of `server.properties`.
pub(super) fn prepare_with(directory: &Path, port: u16, more: &str) -> Result<()> {
    let classpath = format!("{}/*", artifacts::kafka_jars()?.display());
    let properties = server_properties(directory, port, port::free(1)?[0]) + more;
    format_storage(directory, &properties, &cluster_id(), &classpath, &[])
}

/// A listener, and the port of this machine that it sends its clients to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxied {
    pub(crate) listener: u16,
    pub(crate) advertised: u16,
}

/// What a node of a cluster has to know about it.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    id: String,
    /// Of the one node that only controls.
    pub(crate) controller_port: u16,
    brokers: usize,
}

/// The controller's node id; those of brokers follow.
const CONTROLLER_ID: usize = 1;

impl Cluster {
    pub(crate) fn new(controller_port: u16, brokers: usize) -> Self {
        Self { id: cluster_id(), controller_port, brokers }
    }

    /// Prepares `directory` for the controller.
    pub(crate) fn prepare_controller(&self, directory: &Path) -> Result<()> {
        let port = self.controller_port;
        let own = format!(
            "\
process.roles=controller
node.id={CONTROLLER_ID}
listeners=CONTROLLER://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT
"
        );
        self.format(directory, own)
    }

    /// Prepares `directory` for the broker with this number, from 0.
    pub(crate) fn prepare_broker(&self, directory: &Path, number: usize, port: u16, proxied: &[Proxied]) -> Result<()> {
        let own = format!(
            "\
process.roles=broker
node.id={}
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
group.initial.rebalance.delay.ms=0
",
            CONTROLLER_ID + 1 + number
        );
        self.format(directory, with_listeners(own, proxied))
    }

    /// Whatever a topic says, Kafka's own have a replica on every broker, and one may be away.
    fn format(&self, directory: &Path, own: String) -> Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let Self { id, controller_port, brokers } = self;
        let min_isr = brokers.saturating_sub(1).max(1);
        let common = format!(
            "\
controller.quorum.voters={CONTROLLER_ID}@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
default.replication.factor={brokers}
min.insync.replicas={min_isr}
offsets.topic.replication.factor={brokers}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={brokers}
transaction.state.log.min.isr={min_isr}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={brokers}
share.coordinator.state.topic.min.isr={min_isr}
share.coordinator.state.topic.num.partitions=4
",
            directory.join("data").display()
        );
        let classpath = format!("{}/*", artifacts::kafka_jars()?.display());
        format_storage(directory, &(own + &common), id, &classpath, &[])
    }
}

/// Adds a listener `PROXIED<n>` for each.
fn with_listeners(properties: String, proxied: &[Proxied]) -> String {
    let list = |port: fn(&Proxied) -> u16| -> String {
        proxied.iter().enumerate().map(|(n, proxied)| format!(",PROXIED{n}://127.0.0.1:{}", port(proxied))).collect()
    };
    let protocols: String = (0..proxied.len()).map(|n| format!(",PROXIED{n}:PLAINTEXT")).collect();
    let line = |line: &str| match line.split_once('=').map_or(line, |(key, _)| key) {
        "listeners" => format!("{line}{}\n", list(|proxied| proxied.listener)),
        "advertised.listeners" => format!("{line}{}\n", list(|proxied| proxied.advertised)),
        "listener.security.protocol.map" => format!("{line}{protocols}\n"),
        _ => format!("{line}\n"),
    };
    properties.lines().map(line).collect()
}

/// Writes the configuration and formats the log directory. The configuration is written last: where it is, the
/// directory is complete. `scram`: users that the cluster knows from its first start.
pub(super) fn format_storage(
    directory: &Path,
    properties: &str,
    cluster_id: &str,
    classpath: &str,
    scram: &[String],
) -> Result<()> {
    fs::write(directory.join("log4j2.properties"), LOGGING)?;
    let draft = directory.join("server.properties.draft");
    fs::write(&draft, properties)?;
    let mut format = java(classpath, directory);
    format.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c"]).arg(&draft);
    for user in scram {
        format.args(["--add-scram", user]);
    }
    run(&mut format).context("format Kafka's storage (Java 17 or newer: package openjdk-17-jre-headless)")?;
    Ok(fs::rename(&draft, directory.join("server.properties"))?)
}

fn java(classpath: &str, directory: &Path) -> Command {
    let mut java = Command::new("java");
    java.arg("-cp").arg(classpath);
    java.arg(format!("-Dlog4j2.configurationFile={}", directory.join("log4j2.properties").display()));
    java.current_dir(directory);
    java
}

/// A random 128-bit id in Kafka's notation: base64 (URL alphabet) without padding, 22 characters.
pub(super) fn cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let word = || RandomState::new().build_hasher().finish();
    let bits = u128::from(word()) << 64 | u128::from(word());
    // 21 digits of 6 bits, and a last one that carries the remaining 2 bits on top of 4 zeros. A leading dash would
    // read as an option.
    let digits = (0..21).map(|digit| bits >> (122 - 6 * digit) & 63).chain([(bits & 3) << 4]);
    let id: String = digits.map(|digit| char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)])).collect();
    id.replacen('-', "A", usize::from(id.starts_with('-')))
}

/// One replica of everything, few internal partitions, no waiting for more members when a group forms, and no topic
/// that nobody declared.
pub(super) fn server_properties(directory: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
",
        directory.join("data").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_more_advertises_another_port() {
        let proxied = [(3, 5), (4, 6)].map(|(listener, advertised)| Proxied { listener, advertised });
        let text = with_listeners(server_properties(Path::new("/d"), 1, 2), &proxied);
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,PROXIED0://127.0.0.1:3,PROXIED1://127.0.0.1:4",
            "advertised.listeners=PLAINTEXT://127.0.0.1:1,PROXIED0://127.0.0.1:5,PROXIED1://127.0.0.1:6",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED0:PLAINTEXT,PROXIED1:PLAINTEXT",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.lines().count(), server_properties(Path::new("/d"), 1, 2).lines().count());
    }

    #[test]
    fn cluster_ids_are_what_kafka_prints() {
        for id in [cluster_id(), cluster_id()] {
            assert_eq!(id.len(), 22, "{id}");
            assert!("AQgw".contains(&id[21..]), "the last digit holds two bits: {id}");
        }
    }
}
