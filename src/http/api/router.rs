//! What the API is made of, and which path leads where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};

use super::accept::accept;
use super::auth::Authenticator;
use super::body::BodyLimits;
use super::endpoint::Catalogue;
use super::principal::Principal;
use super::problem::Problem;
use super::rate::{Limiter, Rate};
use crate::connectors::{Admission, EventProducer};
use crate::event::Outgoing;
use crate::schema::Codec;

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
        Router::new().fallback(accept).with_state(self)
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
        let principal = self.0.parts.authenticator.principal(headers).await?;
        self.0.limiter.admit(&principal.name)?;
        if !principal.may(permission) {
            let detail = format!("this needs the permission {permission}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        Ok(principal)
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
