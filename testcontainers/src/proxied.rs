//! Brokers that some of their clients reach through proxies only.
//!
//! A client that bootstraps at one of a broker's listeners is sent to that listener's advertised port of this machine, where
//! a proxy of the caller's leads back to the listener. Native servers only.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::native::{self, Cluster, Proxied};
use crate::probe::{self, wait_until};
use crate::server::{Backend, Server};
use crate::{Kafka, Service, port};

/// More brokers than this, and every one has a JVM of its own, no test needs.
const MAX_BROKERS: usize = 3;

impl Kafka {
    /// Starts one that has a listener more for each port of `advertised`. Returns the listeners' ports, in the same order.
    pub fn start_behind(advertised: &[u16]) -> Result<(Self, Vec<u16>)> {
        let ports = port::free(1 + advertised.len())?;
        let (mut server, directory) = place(ports[0])?;
        let listeners = ports[1..].to_vec();
        native::prepare_kafka(&directory, ports[0], &proxied(&listeners, advertised))?;
        server.restart()?;
        Ok((Self(server), listeners))
    }
}

/// Brokers of one cluster, with a controller apart, so that any of them may be away. What Kafka keeps for itself has a replica
/// on every broker, and needs all but one of them.
#[derive(Debug)]
pub struct KafkaCluster {
    brokers: Vec<Kafka>,
    _controller: Kafka,
}

impl KafkaCluster {
    /// Starts a broker for each element of `advertised`, which names the ports that its further listeners send their clients
    /// to. Returns the listeners' ports, in the same order.
    pub fn start_behind(advertised: &[Vec<u16>]) -> Result<(Self, Vec<Vec<u16>>)> {
        ensure!(
            (1..=MAX_BROKERS).contains(&advertised.len()),
            "a cluster of {} brokers; allowed: 1 to {MAX_BROKERS}",
            advertised.len()
        );
        let mut ports = port::free(1 + advertised.iter().map(|ports| 1 + ports.len()).sum::<usize>())?.into_iter();
        let mut next = |count: usize| -> Vec<u16> { ports.by_ref().take(count).collect() };
        let controller_port = next(1)[0];
        let cluster = Cluster::new(controller_port, advertised.len());
        let (mut controller, directory) = place(controller_port)?;
        cluster.prepare_controller(&directory)?;
        controller.launch()?;
        let (mut brokers, mut listeners) = (Vec::new(), Vec::new());
        for (number, advertised) in advertised.iter().enumerate() {
            let (port, own) = (next(1)[0], next(advertised.len()));
            let (mut broker, directory) = place(port)?;
            cluster.prepare_broker(&directory, number, port, &proxied(&own, advertised))?;
            broker.launch()?;
            brokers.push(broker);
            listeners.push(own);
        }
        // All at once, then each is waited for: a Java program starts for seconds.
        for broker in &mut brokers {
            broker.restart()?;
            let port = broker.port();
            let complete = || Ok(probe::kafka_brokers(port).is_ok_and(|brokers| brokers == advertised.len()));
            wait_until(Service::Kafka.start_limit(), complete).with_context(|| {
                format!("the broker on port {port} does not know of all {} of its cluster", advertised.len())
            })?;
        }
        let brokers = brokers.into_iter().map(Kafka).collect();
        Ok((Self { brokers, _controller: Kafka(controller) }, listeners))
    }

    /// For `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.brokers.iter().map(Kafka::bootstrap_servers).collect::<Vec<_>>().join(",")
    }

    #[must_use]
    pub fn brokers(&self) -> &[Kafka] {
        &self.brokers
    }

    /// To be broken.
    pub fn brokers_mut(&mut self) -> &mut [Kafka] {
        &mut self.brokers
    }
}

fn place(port: u16) -> Result<(Server, PathBuf)> {
    let server = Server::place(Service::Kafka, port)?;
    let Backend::Native(directory) = &server.backend else {
        bail!("brokers behind proxies run natively only: COAFI_STACK=native");
    };
    let directory = directory.clone();
    Ok((server, directory))
}

fn proxied(listeners: &[u16], advertised: &[u16]) -> Vec<Proxied> {
    let proxied = |(&listener, &advertised): (&u16, &u16)| Proxied { listener, advertised };
    listeners.iter().zip(advertised).map(proxied).collect()
}
