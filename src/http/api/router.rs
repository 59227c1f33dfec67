//! What the API is made of, and which path leads where.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};

use super::accept::accept;
use super::auth::Authenticator;
use super::body::BodyLimits;
use super::endpoint::Catalogue;
use super::events::AuditReads;
use super::federated::Domains;
use super::measured::measured;
use super::outcomes::Outcomes;
use super::principal::Principal;
use super::problem::Problem;
use super::rate::{Limiter, Rate};
use super::refusals::Refusals;
use super::status::status;
use super::webhooks::{self, Webhooks};
use super::{events, federated, ingest, openapi, page, registries};
use crate::connectors::{Admission, EventProducer};
use crate::event::Outgoing;
use crate::registry::Rules;
use crate::schema::Codec;
use crate::store::{KnownRequest, NewRequest, Requests, Reserved, StoreError, Together};
use crate::telemetry::Metrics;

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
    pub audit_reads: AuditReads,
    /// What holds of single registries.
    pub rules: Arc<Rules>,
    pub webhooks: Webhooks,
    pub domains: Domains,
    /// Where nobody reads any, there are none.
    pub metrics: Option<Arc<Metrics>>,
}

/// The API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// The table of requests, for those that are alone.
    single: Together,
    limiter: Limiter,
    refusals: Refusals,
    /// The OpenAPI document, and the page of it.
    document: String,
    page: String,
}

impl Api {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (limiter, document) = (Limiter::new(parts.rate), openapi::document(&parts.catalogue));
        let (page, document) = (page::page(&document), document.to_string());
        let single = Together::new(Arc::clone(&parts.requests));
        Self(Arc::new(Inner { parts, single, limiter, refusals: Refusals::new(), document, page }))
    }

    /// Its paths.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(reference))
            .route("/openapi.json", get(document))
            .route("/requests/{id}", get(status))
            .route("/events", get(events::list::list))
            .route("/events/{id}", get(events::story::story))
            .route("/registries", get(registries::list::registries))
            .route("/registries/{registry}/entries", get(registries::list::entries))
            .route("/registries/{registry}/entries/{entry}", {
                get(registries::read::read).put(registries::write::put).delete(registries::write::delete)
            })
            .route("/registries/{registry}/entries/{entry}/history", get(registries::history::history))
            .route("/webhooks/{name}", any(webhooks::receive))
            .route(federated::PATH, post(federated::push))
            .route(ingest::PATH, post(ingest::ingest).options(ingest::handshake))
            .method_not_allowed_fallback(not_allowed)
            .fallback(accept)
            .layer(middleware::from_fn_with_state(self.clone(), measured))
            .with_state(self)
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.0.parts.metrics.as_deref()
    }

    /// Of one principal.
    pub(super) fn per_second(&self) -> u32 {
        self.0.parts.rate.per_second.get()
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

    pub(super) fn audit_reads(&self) -> &AuditReads {
        &self.0.parts.audit_reads
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.0.parts.rules
    }

    pub(super) fn store(&self) -> &dyn Requests {
        &*self.0.parts.requests
    }

    pub(super) fn domains(&self) -> &Domains {
        &self.0.parts.domains
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
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).by(&principal.name));
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
        self.0.limiter.admit(principal, NonZeroU32::MIN).map_err(|problem| problem.by(principal))
    }

    /// Counts that many more requests of one that was admitted already.
    ///
    /// # Errors
    /// 429
    pub(super) fn count_more(&self, principal: &Principal, more: usize) -> Result<(), Problem> {
        let Some(more) = NonZeroU32::new(u32::try_from(more).unwrap_or(u32::MAX)) else { return Ok(()) };
        self.0.limiter.admit(&principal.name, more)
    }

    /// Makes the ids these requests', and says of each whether it is still to be published.
    ///
    /// # Errors
    /// 409: one is another's, and none was reserved. 503.
    pub(super) async fn reserve(&self, requests: &[NewRequest]) -> Result<Vec<bool>, Problem> {
        let reserved = match requests {
            [only] => self.0.single.reserve(only.clone()).await.map(|reserved| vec![reserved]),
            all => self.0.parts.requests.reserve_all(all).await,
        };
        let reserved = reserved.map_err(unavailable)?;
        let conflicts = requests.iter().zip(&reserved).filter(|(_, reserved)| **reserved == Reserved::Conflict);
        let conflicts: Vec<_> = conflicts.map(|(request, _)| request).collect();
        if !conflicts.is_empty() {
            return Err(Problem::id_conflict(conflicts));
        }
        Ok(reserved.iter().map(|reserved| *reserved != Reserved::Again { published: true }).collect())
    }

    /// Notes that requests are published. That it could not be noted costs no more than publishing them again.
    pub(super) async fn note_published(&self, requests: &[NewRequest]) {
        let noted = match requests {
            [] => return,
            [only] => self.0.single.published(only.clone()).await,
            all => self.0.parts.requests.published(all).await,
        };
        if let Err(error) = noted {
            let count = requests.len();
            tracing::warn!(%error, count, first = requests[0].id, "that requests are published could not be noted");
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

async fn document(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.0.document.clone()).into_response()
}

async fn reference(State(api): State<Api>) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(api.0.page.clone())).into_response()
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this page does not take this method")
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(%error, "the table of requests cannot be used");
    Problem::unavailable("whether the request was made before cannot be told at the moment")
}
