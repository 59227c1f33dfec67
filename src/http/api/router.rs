//! What the API is made of, and which path leads where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};

use super::accept::accept;
use super::auth::Authenticator;
use super::body::BodyLimits;
use super::endpoint::Catalogue;
use super::outcomes::Outcomes;
use super::principal::Principal;
use super::problem::Problem;
use super::rate::{Limiter, Rate};
use super::status::status;
use super::webhooks::{self, Webhooks};
use crate::connectors::{Admission, EventProducer};
use crate::event::Outgoing;
use crate::schema::Codec;
use crate::store::{KnownRequest, NewRequest, Requests, Reserved, StoreError};

/// Where requests go.
pub const API_TOPIC: &str = "coafi.api";
/// CloudEvents `source` of requests: this and the endpoint's name, so that routes tell endpoints apart.
pub const API_SOURCE: &str = "/coafi/api";

/// What the API is made of.
#[derive(Debug)]
pub struct Parts {
    pub authenticator: Authenticator,
    pub catalogue: Catalogue,
    pub codec: Codec,
    pub producer: EventProducer,
    /// Whether the cluster takes more right now.
    pub admission: Arc<dyn Admission>,
    pub body: BodyLimits,
    pub publish_timeout: Duration,
    pub rate: Rate,
    pub requests: Arc<dyn Requests>,
    pub outcomes: Outcomes,
    /// What `Prefer: wait` is cut to.
    pub wait_max: Duration,
    pub webhooks: Webhooks,
}

/// The API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    limiter: Limiter,
}

impl Api {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let limiter = Limiter::new(parts.rate);
        Self(Arc::new(Inner { parts, limiter }))
    }

    /// Its paths.
    pub fn router(self) -> Router {
        Router::new()
            .route("/requests/{id}", get(status))
            .route("/webhooks/{name}", any(webhooks::receive))
            .fallback(accept)
            .with_state(self)
    }

    pub(super) fn outcomes(&self) -> &Outcomes {
        &self.0.parts.outcomes
    }

    pub(super) fn wait_max(&self) -> Duration {
        self.0.parts.wait_max
    }

    pub(super) fn webhooks(&self) -> &Webhooks {
        &self.0.parts.webhooks
    }

    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.0.parts.catalogue
    }

    pub(super) fn codec(&self) -> &Codec {
        &self.0.parts.codec
    }

    pub(super) fn body_limits(&self) -> BodyLimits {
        self.0.parts.body
    }

    /// Who asks, if that one may ask for this, and now.
    ///
    /// # Errors
    /// 401, 403, 429.
    pub(super) async fn admitted(&self, headers: &HeaderMap, permission: &str) -> Result<Principal, Problem> {
        let principal = self.known(headers).await?;
        if !principal.may(permission) {
            let detail = format!("this needs the permission {permission}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(principal)
    }

    /// Who asks, if that one may ask now.
    ///
    /// # Errors
    /// 401, 429.
    pub(super) async fn known(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let principal = self.0.parts.authenticator.principal(headers).await?;
        self.within_rate(&principal.name)?;
        Ok(principal)
    }

    /// # Errors
    /// 429
    pub(super) fn within_rate(&self, principal: &str) -> Result<(), Problem> {
        self.0.limiter.admit(principal)
    }

    /// Makes the id this request's, and says whether it is still to be published.
    ///
    /// # Errors
    /// 409: it is another's. 503.
    pub(super) async fn reserve(&self, request: &NewRequest) -> Result<bool, Problem> {
        match self.0.parts.requests.reserve(request).await.map_err(unavailable)? {
            Reserved::New => Ok(true),
            Reserved::Again { published } => Ok(!published),
            Reserved::Conflict => {
                let detail = "another request was made under this id";
                Err(Problem::new(StatusCode::CONFLICT, "id-conflict", detail))
            }
        }
    }

    /// Notes that a request is published. That it could not be noted costs no more than publishing it again.
    pub(super) async fn note_published(&self, request: &NewRequest) {
        if let Err(error) = self.0.parts.requests.published(&request.id, &request.source).await {
            tracing::warn!(%error, id = request.id, "that a request is published could not be noted");
        }
    }

    /// # Errors
    /// 503
    pub(super) async fn request(
        &self,
        id: &str,
        source: Option<&str>,
        principal: &str,
    ) -> Result<Option<KnownRequest>, Problem> {
        self.0.parts.requests.request(id, source, principal).await.map_err(unavailable)
    }

    /// Publishes an event; every in-sync replica has it then.
    ///
    /// # Errors
    /// 503, or 413 where the topic takes nothing that large.
    pub(super) async fn publish(&self, event: &Outgoing) -> Result<(), Problem> {
        let parts = &self.0.parts;
        let bytes = event.value.as_ref().map_or(0, bytes::Bytes::len);
        let late = || Problem::unavailable("too many requests wait to be handled");
        let admitted = tokio::time::timeout(parts.publish_timeout, parts.admission.ready(1, bytes)).await;
        admitted.map_err(|_| late())?.map_err(|error| {
            tracing::error!(%error, "whether the cluster takes more cannot be told");
            late()
        })?;
        parts.producer.send(event).await?;
        Ok(())
    }
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(%error, "the table of requests cannot be used");
    Problem::unavailable("whether the request was made before cannot be told at the moment")
}
