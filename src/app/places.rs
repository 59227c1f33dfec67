//! Where everything is that the roles talk to: as configured, or inside the process in `coafi dev`.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::config::{Artifacts, SchemaRegistry, Settings};
use crate::kafka::properties;
use crate::kafka::scan::Reader;
use crate::schema::registry;

/// Addresses and credentials of the cluster, the registry, the database and the artifact store.
#[derive(Clone, Debug)]
pub struct Places {
    pub bootstrap_servers: String,
    /// Further librdkafka properties.
    pub client: BTreeMap<String, String>,
    pub registry: registry::Settings,
    /// With its password.
    pub database: String,
    pub artifacts: Artifacts,
    /// Whether endpoints are called, and channels told.
    pub reaches_others: bool,
}

impl Places {
    /// As configured.
    #[must_use]
    pub fn configured(settings: &Settings) -> Self {
        let kafka = &settings.kafka;
        let client = kafka.client.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        Self {
            bootstrap_servers: kafka.bootstrap_servers.clone(),
            client,
            registry: registry_settings(&settings.schema_registry),
            database: settings.database.url().expose().to_owned(),
            artifacts: settings.artifacts.clone(),
            reaches_others: true,
        }
    }

    /// For clients other than a replica's.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        for (name, value) in &self.client {
            config.set(name, value);
        }
        properties::set_common(&mut config);
        config
    }

    /// Reads what is recorded in the cluster's topics.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(&self.bootstrap_servers, &self.client)
    }
}

pub(super) fn registry_settings(configured: &SchemaRegistry) -> registry::Settings {
    let mut registry = registry::Settings::new(configured.url.expose().trim_end_matches('/'));
    registry.timeout = configured.timeout;
    if let (Some(user), Some(password)) = (&configured.username, &configured.password) {
        registry.auth = registry::Auth::Basic { user: user.clone(), password: password.expose().to_owned() };
    }
    registry
}
