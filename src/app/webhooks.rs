//! From the configuration's webhooks to the API's.

use std::collections::BTreeSet;

use super::git::addresses;
use crate::config::{Repository, Secret, Settings, Webhook as Configured, WebhookKind};
use crate::connectors::git::RepositoryId;
use crate::http::api::webhooks::{Github, Gitlab, Hmac, Kind, PushedTo, Standard, Webhook, Webhooks};

/// The webhooks as they are configured. Pushes of repositories that `git.repositories` does not list are ignored; where it
/// lists none, the connector may have been told of them on its command line, and is woken for any.
///
/// # Errors
/// An address that is none, a secret that cannot be used, and what [`Webhooks::new`] refuses.
pub fn webhooks(settings: &Settings) -> anyhow::Result<Webhooks> {
    let watched: BTreeSet<RepositoryId> =
        addresses(&settings.git.repositories)?.into_iter().map(|address| address.id).collect();
    let webhooks: anyhow::Result<Vec<Webhook>> = settings.api.webhooks.iter().map(webhook).collect();
    Ok(Webhooks::new(webhooks?, (!watched.is_empty()).then_some(watched))?)
}

fn webhook(configured: &Configured) -> anyhow::Result<Webhook> {
    let secrets = configured.secrets.iter().map(Secret::expose);
    let kind = match &configured.kind {
        WebhookKind::Github { repository } => Kind::Github(Github::new(secrets), pushed_to(repository)?),
        WebhookKind::Gitlab { repository, window } => {
            Kind::Gitlab(Gitlab::new(secrets, *window)?, pushed_to(repository)?)
        }
        WebhookKind::Standard { window, event } => Kind::Standard(Standard::new(secrets, *window)?, event.clone()),
        WebhookKind::Hmac { scheme, event } => Kind::Hmac(Hmac::new(secrets, scheme.clone()), event.clone()),
    };
    Ok(Webhook { name: configured.name.clone(), body_max_bytes: configured.body_max_bytes, kind })
}

fn pushed_to(repository: &Option<String>) -> anyhow::Result<PushedTo> {
    let addresses = addresses(&repository.as_deref().map(Repository::new).into_iter().collect::<Vec<_>>())?;
    Ok(addresses.into_iter().next().map(|address| address.id))
}
