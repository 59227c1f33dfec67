//! The configured webhooks, and what each makes of a delivery.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, StatusCode};

use super::delivery::DeliveryId;
use super::refused::{Refused, required};
use super::{Github, Gitlab, Hmac, Standard, github, gitlab};
use crate::connectors::git::RepositoryId;
use crate::http::api::problem::Problem;
use crate::http::api::room::Room;

/// One webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub name: String,
    pub body_max_bytes: usize,
    pub kind: Kind,
}

/// Who posts to it, and how that is known.
#[derive(Clone, Debug)]
pub enum Kind {
    Github(Github, PushedTo),
    Gitlab(Gitlab, PushedTo),
    Standard(Standard, EventTarget),
    Hmac(Hmac, EventTarget),
}

/// The repository of which every push is. `None`: the one that the payload names.
pub type PushedTo = Option<RepositoryId>;

/// What deliveries become that are no pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTarget {
    /// `api.request`, which has the delivery's body as it came, or a type whose data the body is.
    pub event_type: String,
    pub topic: String,
    /// Members of the body that make the event's key: deliveries that agree in them are handled in order. None: no order.
    pub key: Vec<String>,
}

/// A delivery that is believed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Believed<'a> {
    Github { event: &'a str, pushed_to: &'a PushedTo },
    Gitlab { event: &'a str, pushed_to: &'a PushedTo },
    Event { id: DeliveryId, target: &'a EventTarget },
}

impl Webhook {
    /// Looks at bytes only; nothing of the body is read yet.
    ///
    /// # Errors
    /// [`Refused`]
    pub(super) fn verify<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &[u8],
        now_ms: i64,
    ) -> Result<Believed<'a>, Refused> {
        match &self.kind {
            Kind::Github(verifier, pushed_to) => {
                verifier.verify(headers, body)?;
                Ok(Believed::Github { event: required(headers, github::EVENT)?, pushed_to })
            }
            Kind::Gitlab(verifier, pushed_to) => {
                verifier.verify(headers, body, now_ms)?;
                Ok(Believed::Gitlab { event: required(headers, gitlab::EVENT)?, pushed_to })
            }
            Kind::Standard(verifier, target) => {
                verifier.verify(headers, body, now_ms).map(|id| Believed::Event { id, target })
            }
            Kind::Hmac(verifier, target) => {
                verifier.verify(headers, body, now_ms).map(|id| Believed::Event { id, target })
            }
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Webhooks {
    by_name: BTreeMap<String, Webhook>,
    /// Repositories that some connector watches; `None`: nobody here knows.
    watched: Option<BTreeSet<RepositoryId>>,
    room: Room,
}

#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// They would double what the connector publishes.
    #[error("webhook {name}: events of type {event_type:?} are the git connector's; allowed: kind github or gitlab")]
    OfGit { name: String, event_type: String },
    #[error("webhook {name}: nobody watches repository {repository}; allowed: one of git.repositories")]
    Unwatched { name: String, repository: RepositoryId },
}

impl Webhooks {
    /// `watched`: the repositories that the connector has; `None` where that is not known here.
    ///
    /// # Errors
    /// A webhook whose deliveries could become nothing.
    pub fn new(
        webhooks: impl IntoIterator<Item = Webhook>,
        watched: Option<BTreeSet<RepositoryId>>,
    ) -> Result<Self, WebhooksError> {
        let room = Room::new("deliveries");
        let mut this = Self { by_name: BTreeMap::new(), watched, room };
        for webhook in webhooks {
            this.check(&webhook)?;
            this.by_name.insert(webhook.name.clone(), webhook);
        }
        Ok(this)
    }

    fn check(&self, webhook: &Webhook) -> Result<(), WebhooksError> {
        let name = webhook.name.clone();
        match &webhook.kind {
            Kind::Github(_, Some(repository)) | Kind::Gitlab(_, Some(repository))
                if !self.may_be_watched(repository) =>
            {
                Err(WebhooksError::Unwatched { name, repository: repository.clone() })
            }
            Kind::Github(..) | Kind::Gitlab(..) => Ok(()),
            Kind::Standard(_, target) | Kind::Hmac(_, target) => {
                if target.event_type.starts_with("git.") {
                    return Err(WebhooksError::OfGit { name, event_type: target.event_type.clone() });
                }
                Ok(())
            }
        }
    }

    /// False only if it is known that nobody watches it.
    pub(super) fn may_be_watched(&self, repository: &RepositoryId) -> bool {
        self.watched.as_ref().is_none_or(|watched| watched.contains(repository))
    }

    pub(super) const fn room(&self) -> &Room {
        &self.room
    }

    /// # Errors
    /// 404
    pub(super) fn named(&self, name: &str) -> Result<&Webhook, Problem> {
        let detail = || format!("there is no webhook {name:?}");
        self.by_name.get(name).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no-such-webhook", detail()))
    }
}
