//! The servers of a run, and a proxy for each replica to come.

use anyhow::Result;
use coafi_testcontainers::{Kafka, Postgres, Registry};

use crate::proxy::Proxy;

/// Everything that replicas talk to.
pub struct Servers {
    pub kafka: Kafka,
    pub registry: Registry,
    pub postgres: Postgres,
    /// By the replica's slot; empty where the broker cannot stand behind proxies.
    pub proxies: Vec<Proxy>,
}

impl Servers {
    /// Starts them, with `slots` proxies where servers run natively.
    ///
    /// # Errors
    /// A server does not start.
    pub fn start(slots: usize) -> Result<Self> {
        let proxies = (0..slots).map(|_| Proxy::start()).collect::<Result<Vec<_>>>()?;
        let ports: Vec<u16> = proxies.iter().map(Proxy::port).collect();
        let (kafka, proxies) = match Kafka::start_behind(&ports) {
            Ok((kafka, listeners)) => {
                proxies.iter().zip(&listeners).for_each(|(proxy, listener)| proxy.lead_to(*listener));
                (kafka, proxies)
            }
            Err(error) => {
                eprintln!("no faults of the network: {error:#}");
                (Kafka::start()?, Vec::new())
            }
        };
        Ok(Self { kafka, registry: Registry::start()?, postgres: Postgres::start()?, proxies })
    }

    /// Where the replica with this slot finds its broker.
    #[must_use]
    pub fn kafka_for(&self, slot: usize) -> String {
        let through = |proxy: &Proxy| format!("127.0.0.1:{}", proxy.port());
        self.proxies.get(slot).map_or_else(|| self.kafka.bootstrap_servers(), through)
    }
}
