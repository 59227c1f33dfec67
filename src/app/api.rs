//! From the configuration to the HTTP API.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::misconfigured::Misconfigured;
use super::waiting::Waiting;
use super::{AUDIT_TOPIC, Places, purge};
use crate::bitt::{OutcomePages, Trail};
use crate::config::{Api as Configured, ApiEndpoint, ApiKey, Settings};
use crate::connectors::{Admission, EventProducer};
use crate::http::api::webhooks::Webhooks;
use crate::http::api::{
    Api, AuditReads, Authenticator, BodyLimits, Catalogue, CatalogueError, Domains, Endpoint, EndpointFile,
    JwtSettings, KeyEntry, Outcomes, Parts, Rate, document,
};
use crate::http::{ConnectionLimits, Server};
use crate::registry::Rules;
use crate::runtime::Tasks;
use crate::schema::Codec;
use crate::store::{self, Requests, StoreError};
use crate::telemetry::Metrics;

/// Of events that wait for their acknowledgement: a second of 5,000 a second of the usual size, or 18 of the largest.
const QUEUE_BYTES: usize = 16 << 20;

/// The API as it is configured, and what has to follow the topic of results for it.
///
/// # Errors
/// A schema that cannot be used, a client's configuration that is wrong.
#[expect(clippy::too_many_arguments, reason = "what an API is made of, each from somewhere else")]
pub fn api(
    configured: &Configured,
    places: &Places,
    codec: Codec,
    requests: Arc<dyn Requests>,
    admission: Arc<dyn Admission>,
    (webhooks, domains): (Webhooks, Domains),
    rules: Arc<Rules>,
    metrics: Option<Arc<Metrics>>,
) -> anyhow::Result<(Api, Outcomes)> {
    let keys: Vec<KeyEntry> = configured.keys.iter().map(key).collect();
    let limits = &configured.limits;
    let outcomes = Outcomes::new(places.reader(), codec.clone(), limits.waiting);
    let pages = OutcomePages::new(places.reader(), AUDIT_TOPIC, codec.clone());
    let trail = Trail::new(places.reader(), AUDIT_TOPIC);
    let api = Api::new(Parts {
        authenticator: Authenticator::new(&keys, &jwt(configured))?,
        catalogue: catalogue(configured).map_err(Misconfigured::by("api.endpoints"))?,
        codec: codec.clone(),
        producer: EventProducer::new(&places.client_config(), QUEUE_BYTES, limits.publish_timeout)?,
        admission,
        body: BodyLimits { max_bytes: limits.body_max_bytes, timeout: limits.body_timeout },
        publish_timeout: limits.publish_timeout,
        rate: Rate { per_second: configured.rate_limit.per_second, burst: configured.rate_limit.burst },
        requests,
        outcomes: outcomes.clone(),
        wait_max: limits.wait_max,
        audit_reads: AuditReads::new(pages, trail, codec.clone()),
        rules,
        webhooks,
        domains,
        metrics,
    });
    Ok((api, outcomes))
}

/// What its connections may take.
fn connections(configured: &Configured) -> ConnectionLimits {
    let limits = &configured.limits;
    ConnectionLimits {
        connections: limits.connections,
        header_max_bytes: limits.header_max_bytes,
        header_timeout: limits.header_timeout,
    }
}

/// The table of requests, as soon as the database answers. `None` if it was stopped before that.
///
/// # Errors
/// As [`store::open`], the database's silence excepted.
pub async fn requests(
    settings: &Settings,
    places: &Places,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Arc<dyn Requests>>> {
    let database = store::Settings { max_connections: settings.database.max_connections, ..Default::default() };
    let mut waiting = Waiting::default();
    loop {
        match store::open(&places.database, &database).await {
            Ok(requests) => return Ok(Some(requests)),
            Err(reason @ StoreError::Unavailable { .. }) => {
                if !waiting.for_another_attempt(reason.to_string(), stop).await {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts everything that an API consists of. `results_since`: from when on outcomes are read, from the beginning if it is
/// `None`.
pub fn spawn_api(
    tasks: &mut Tasks,
    configured: &Configured,
    server: Server,
    (api, outcomes): (Api, Outcomes),
    requests: Arc<dyn Requests>,
    results_since: Option<i64>,
) {
    let stop = tasks.stop();
    tasks.spawn("the API's server", server.run_within(api.router(), connections(configured), stop.clone()));
    tasks.spawn("the API's follower of results", outcomes.follow(results_since, stop.clone()));
    tasks.spawn("the requests' purge", purge::requests(requests, configured.requests_retention, stop));
}

/// The configured API as an OpenAPI 3.1 document.
///
/// # Errors
/// A schema that cannot be used.
pub fn api_document(configured: &Configured) -> anyhow::Result<serde_json::Value> {
    Ok(document(&catalogue(configured).map_err(Misconfigured::by("api.endpoints"))?))
}

fn catalogue(configured: &Configured) -> Result<Catalogue, CatalogueError> {
    let endpoints: Vec<EndpointFile> = configured.endpoints.iter().map(endpoint).collect();
    Catalogue::build(&endpoints)
}

fn key(key: &ApiKey) -> KeyEntry {
    KeyEntry { principal: key.principal.clone(), sha256: key.sha256.clone(), permissions: key.permissions.clone() }
}

fn endpoint(endpoint: &ApiEndpoint) -> EndpointFile {
    EndpointFile {
        endpoint: Endpoint::new(&endpoint.path, &endpoint.method),
        schema: endpoint.schema.clone(),
        key: endpoint.key.clone(),
    }
}

fn jwt(configured: &Configured) -> JwtSettings {
    let jwt = &configured.jwt;
    JwtSettings {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        jwks_url: jwt.jwks_url.as_ref().map(|url| url.expose().to_owned()),
        jwks_refresh: jwt.jwks_refresh,
        secret: jwt.secret.as_ref().map(|secret| secret.expose().as_bytes().to_vec()),
        permissions_claim: jwt.permissions_claim.clone(),
        leeway: jwt.leeway,
    }
}
