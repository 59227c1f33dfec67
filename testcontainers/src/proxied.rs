//! A broker that some of its clients reach through proxies only.

use anyhow::{Result, bail};

use crate::server::{Backend, Server};
use crate::{Kafka, Service, native, port};

impl Kafka {
    /// Starts one that has a listener more for each port of `advertised`: a client that bootstraps at one of those listeners
    /// is sent to the advertised port of this machine, where a proxy of the caller's leads back to that listener. Returns
    /// the listeners' ports, in the same order. Native servers only.
    pub fn start_behind(advertised: &[u16]) -> Result<(Self, Vec<u16>)> {
        let ports = port::free(1 + advertised.len())?;
        let mut server = Server::place(Service::Kafka, ports[0])?;
        let Backend::Native(directory) = &server.backend else {
            bail!("a broker behind proxies runs natively only: COAFI_STACK=native");
        };
        let listeners = ports[1..].to_vec();
        native::prepare_kafka(directory, ports[0], &listeners, advertised)?;
        server.restart()?;
        Ok((Self(server), listeners))
    }
}
