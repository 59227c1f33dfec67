//! The servers of a run, and the proxies between them and each replica to come.

use anyhow::Result;
use coafi_testcontainers::{Kafka, KafkaCluster, Postgres, Registry};

use crate::proxy::Proxy;

/// Everything that replicas talk to.
pub struct Servers {
    pub kafka: Brokers,
    pub registry: Registry,
    pub postgres: Postgres,
    /// By the replica's slot, one for each broker; empty where brokers cannot stand behind proxies.
    pub proxies: Vec<Vec<Proxy>>,
}

/// One broker that is everything, or a cluster.
pub enum Brokers {
    Single(Kafka),
    Cluster(KafkaCluster),
}

impl Brokers {
    /// For `bootstrap.servers`, past all proxies.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        match self {
            Self::Single(kafka) => kafka.bootstrap_servers(),
            Self::Cluster(cluster) => cluster.bootstrap_servers(),
        }
    }

    /// All of them, to be broken.
    pub fn all(&mut self) -> &mut [Kafka] {
        match self {
            Self::Single(kafka) => std::slice::from_mut(kafka),
            Self::Cluster(cluster) => cluster.brokers_mut(),
        }
    }

    /// The `nth` broker, counted round and round.
    pub fn nth(&mut self, nth: usize) -> &mut Kafka {
        let all = self.all();
        let count = all.len();
        &mut all[nth % count]
    }
}

impl Servers {
    /// Starts them, with proxies for `slots` replicas where servers run natively. More than one broker run natively only.
    ///
    /// # Errors
    /// A server does not start.
    pub fn start(brokers: usize, slots: usize) -> Result<Self> {
        let row = || (0..brokers).map(|_| Proxy::start()).collect::<Result<Vec<_>>>();
        let proxies = (0..slots).map(|_| row()).collect::<Result<Vec<_>>>()?;
        let advertised: Vec<Vec<u16>> =
            (0..brokers).map(|broker| proxies.iter().map(|row| row[broker].port()).collect()).collect();
        let (kafka, proxies) = if brokers == 1 {
            single(&advertised[0], proxies)?
        } else {
            let (cluster, listeners) = KafkaCluster::start_behind(&advertised)?;
            lead(&proxies, &listeners);
            (Brokers::Cluster(cluster), proxies)
        };
        Ok(Self { kafka, registry: Registry::start()?, postgres: Postgres::start()?, proxies })
    }

    /// Where the replica with this slot finds its brokers.
    #[must_use]
    pub fn kafka_for(&self, slot: usize) -> String {
        let through = |row: &Vec<Proxy>| {
            row.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect::<Vec<_>>().join(",")
        };
        self.proxies.get(slot).map_or_else(|| self.kafka.bootstrap_servers(), through)
    }
}

/// Behind the proxies, or without them where that cannot be.
fn single(advertised: &[u16], proxies: Vec<Vec<Proxy>>) -> Result<(Brokers, Vec<Vec<Proxy>>)> {
    match Kafka::start_behind(advertised) {
        Ok((kafka, listeners)) => {
            lead(&proxies, &[listeners]);
            Ok((Brokers::Single(kafka), proxies))
        }
        Err(error) => {
            eprintln!("no faults of the network: {error:#}");
            Ok((Brokers::Single(Kafka::start()?), Vec::new()))
        }
    }
}

/// Each proxy to its listener; `listeners` are by broker and slot.
fn lead(proxies: &[Vec<Proxy>], listeners: &[Vec<u16>]) {
    for (slot, row) in proxies.iter().enumerate() {
        for (proxy, listeners) in row.iter().zip(listeners) {
            proxy.lead_to(listeners[slot]);
        }
    }
}
