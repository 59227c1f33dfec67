//! From the configuration to the connectors of topics: the audit log's, and those of other domains.

use std::sync::Arc;

use super::places::registry_settings;
use super::{AUDIT_TOPIC, Backing, Places};
use crate::config::{Domain, Federated, Settings, host_name};
use crate::connectors::bitt::{self, AuditLog, BITT_TOPIC};
use crate::connectors::federated::{self, DomainTopic, FEDERATED_TOPIC, Lifetime, Verifier};
use crate::connectors::tail::{Reader, TailConnector, TailSource};
use crate::connectors::{Admission, Delivery, LagBased, Open, PublisherSettings, Sharing, SourceId};
use crate::http::api::Domains;
use crate::schema::{Codec, registry};

/// What envelopes of the configured domains are checked by.
#[must_use]
pub fn verifier(federated: &Federated) -> Verifier {
    let lifetime = Lifetime { max: federated.max_lifetime, leeway: federated.leeway };
    let signing = federated.domains.iter().filter(|domain| !domain.keys.is_empty());
    Verifier::new(&federated.audience, lifetime, signing.map(|domain| (domain.name.clone(), domain.keys.clone())))
}

/// The domains that may push to the API.
#[must_use]
pub fn domains(settings: &Settings) -> Domains {
    Domains::new(Arc::new(verifier(&settings.federated)), settings.federated.body_max_bytes)
}

/// The connector that watches the audit log.
#[must_use]
pub fn bitt_connector(settings: &Settings, places: &Places, codec: Codec) -> TailConnector {
    let bitt = &settings.bitt;
    let source = TailSource {
        id: SourceId::new(bitt::CONNECTOR, &format!("{}/{AUDIT_TOPIC}", settings.kafka.group_id)),
        topic: AUDIT_TOPIC.to_owned(),
        reader: places.reader(),
        start: bitt.start,
        on_loss: bitt.on_loss,
        translate: Arc::new(AuditLog::new(bitt.watch.clone(), codec.clone())),
    };
    connector(bitt::CONNECTOR, vec![source], settings, places, codec)
}

/// The connector of the domains' topics.
///
/// # Errors
/// A domain's schema registry cannot be asked as it is configured.
pub fn federated_connector(settings: &Settings, places: &Places, codec: Codec) -> anyhow::Result<TailConnector> {
    let verifier = Arc::new(verifier(&settings.federated));
    let source = |domain: &Domain, topic: &String, schemas: &Codec| TailSource {
        id: SourceId::new(federated::CONNECTOR, &format!("{}/{}/{topic}", settings.kafka.group_id, domain.name)),
        topic: topic.clone(),
        reader: reader(domain, places),
        start: domain.start,
        on_loss: domain.on_loss,
        translate: Arc::new(DomainTopic::new(
            &domain.name,
            domain.authentication,
            Arc::clone(&verifier),
            schemas.clone(),
            codec.clone(),
        )),
    };
    let mut sources = Vec::new();
    for domain in &settings.federated.domains {
        let schemas = match &domain.schema_registry {
            Some(theirs) => Codec::new(registry::Client::new(registry_settings(theirs))?, false),
            None => codec.clone(),
        };
        sources.extend(domain.topics.iter().map(|topic| source(domain, topic, &schemas)));
    }
    Ok(connector(federated::CONNECTOR, sources, settings, places, codec.clone()))
}

/// Those of `coafi dev` that are configured: alone, and no faster than `group` handles what they publish.
///
/// # Errors
/// The client's configuration is wrong.
pub(super) fn embedded(
    settings: &Settings,
    places: &Places,
    backing: &Backing,
    group: &str,
) -> anyhow::Result<Vec<TailConnector>> {
    let codec = || backing.services.codec.clone();
    let bitt = (!settings.bitt.watch.is_empty()).then(|| (bitt_connector(settings, places, codec()), BITT_TOPIC));
    let has_topics = settings.federated.has_topics();
    let federated = has_topics.then(|| federated_connector(settings, places, codec())).transpose()?;
    let federated = federated.map(|connector| (connector, FEDERATED_TOPIC));
    let admitted = |(mut connector, topic): (TailConnector, &str)| {
        connector.publisher.delivery = Delivery::Idempotent;
        connector.sharing = Sharing::Alone;
        connector.admission = Arc::new(LagBased::new(&places.client_config(), group, topic)?) as Arc<dyn Admission>;
        Ok(connector)
    };
    bitt.into_iter().chain(federated).map(admitted).collect()
}

/// Deployments of one cluster differ by their consumer group.
fn connector(
    name: &str,
    sources: Vec<TailSource>,
    settings: &Settings,
    places: &Places,
    codec: Codec,
) -> TailConnector {
    TailConnector {
        sources,
        publisher: PublisherSettings::new(places.client_config(), codec),
        admission: Arc::new(Open),
        sharing: Sharing::Group(format!("coafi.connect.{name}.{}", settings.kafka.group_id)),
        instance: format!("{} pid {}", host_name(), std::process::id()),
    }
}

fn reader(domain: &Domain, places: &Places) -> Reader {
    let Some(servers) = &domain.bootstrap_servers else { return places.reader() };
    let client = domain.client.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    Reader::new(servers, &client)
}
