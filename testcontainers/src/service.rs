//! The three services: their names, addresses and what "it answers" means for each.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probe;

/// One of the servers a stack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Kafka,
    Registry,
    Postgres,
}

impl Service {
    /// Every service, in the order in which a stack starts them.
    pub const ALL: [Self; 3] = [Self::Kafka, Self::Registry, Self::Postgres];

    /// The name of its directory and of its service in compose.yaml.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::Postgres => "postgres",
        }
    }

    /// What a client is configured with: `bootstrap.servers`, the base URL of Confluent's API, or a connection URL.
    #[must_use]
    pub fn address(self, port: u16) -> String {
        match self {
            Self::Kafka => format!("127.0.0.1:{port}"),
            Self::Registry => format!("http://127.0.0.1:{port}/apis/ccompat/v7"),
            Self::Postgres => format!("postgres://coafi@127.0.0.1:{port}/coafi"),
        }
    }

    /// Whether the server on `port` answers a request of its own protocol, rather than merely accepting a connection.
    #[must_use]
    pub fn answers(self, port: u16) -> bool {
        match self {
            Self::Kafka => probe::kafka(port),
            Self::Registry => probe::http(&format!("{}/subjects", self.address(port))),
            Self::Postgres => probe::postgres(port),
        }
        .is_ok()
    }

    /// How long a start may take. Alone on two cores it takes 4 s, 6 s and 1 s; beside half a dozen compilers the broker
    /// was seen to need more than two minutes, and an end to waiting is for what never comes.
    pub(crate) fn start_limit(self) -> Duration {
        Duration::from_secs(300)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
