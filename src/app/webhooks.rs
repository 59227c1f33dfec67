//! From the configuration's webhooks to the API's.

use std::collections::BTreeSet;

use anyhow::Context as _;

use super::git::addresses;
use super::topics::{declarations, schemas};
use crate::config::{Repository, Secret, Settings, Webhook as Configured, WebhookEvent, WebhookKind};
use crate::connectors::git::RepositoryId;
use crate::connectors::publish_event::topic_of;
use crate::http::api::webhooks::{EventTarget, Github, Gitlab, Hmac, Kind, PushedTo, Standard, Webhook, Webhooks};
use crate::kafka::topics::Declaration;
use crate::schema::Schemas;

/// The webhooks as they are configured. Pushes of repositories that `git.repositories` does not list are ignored; where it
/// lists none, the connector may have been told of them on its command line, and is woken for any.
///
/// # Errors
/// An address that is none, a secret that cannot be used, an event that has no schema or no topic, and what
/// [`Webhooks::new`] refuses.
pub fn webhooks(settings: &Settings) -> anyhow::Result<Webhooks> {
    let watched: BTreeSet<RepositoryId> =
        addresses(&settings.git.repositories)?.into_iter().map(|address| address.id).collect();
    let events = (schemas(settings)?, declarations(settings)?);
    let webhooks: anyhow::Result<Vec<Webhook>> =
        settings.api.webhooks.iter().map(|configured| webhook(configured, &events)).collect();
    Ok(Webhooks::new(webhooks?, (!watched.is_empty()).then_some(watched))?)
}

fn webhook(configured: &Configured, (schemas, declarations): &(Schemas, Vec<Declaration>)) -> anyhow::Result<Webhook> {
    let secrets = configured.secrets.iter().map(Secret::expose);
    let target = |event: &WebhookEvent| {
        let topic = topic_of(&event.event_type, event.topic.clone(), schemas, declarations);
        let topic = topic.with_context(|| format!("webhook {}", configured.name))?;
        anyhow::Ok(EventTarget { event_type: event.event_type.clone(), topic, key: event.key.clone() })
    };
    let kind = match &configured.kind {
        WebhookKind::Github { repository } => Kind::Github(Github::new(secrets), pushed_to(repository)?),
        WebhookKind::Gitlab { repository, window } => {
            Kind::Gitlab(Gitlab::new(secrets, *window)?, pushed_to(repository)?)
        }
        WebhookKind::Standard { window, event } => Kind::Standard(Standard::new(secrets, *window)?, target(event)?),
        WebhookKind::Hmac { scheme, event } => Kind::Hmac(Hmac::new(secrets, scheme.clone()), target(event)?),
    };
    Ok(Webhook { name: configured.name.clone(), body_max_bytes: configured.body_max_bytes, kind })
}

fn pushed_to(repository: &Option<String>) -> anyhow::Result<PushedTo> {
    let addresses = addresses(&repository.as_deref().map(Repository::new).into_iter().collect::<Vec<_>>())?;
    Ok(addresses.into_iter().next().map(|address| address.id))
}
