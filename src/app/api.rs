//! From the configuration to the HTTP API.

use std::sync::Arc;

use super::Places;
use crate::config::{Api as Configured, ApiEndpoint, ApiKey};
use crate::connectors::{Admission, EventProducer};
use crate::http::ConnectionLimits;
use crate::http::api::{
    Api, Authenticator, BodyLimits, Catalogue, Endpoint, EndpointFile, JwtSettings, KeyEntry, Parts, Rate,
};
use crate::schema::Codec;

/// Of events that wait for their acknowledgement: a second of 5,000 a second of the usual size, or 18 of the largest.
const QUEUE_BYTES: usize = 16 << 20;

/// The API as it is configured.
///
/// # Errors
/// A schema that cannot be used, a client's configuration that is wrong.
pub fn api(
    configured: &Configured,
    places: &Places,
    codec: Codec,
    admission: Arc<dyn Admission>,
) -> anyhow::Result<Api> {
    let keys: Vec<KeyEntry> = configured.keys.iter().map(key).collect();
    let endpoints: Vec<EndpointFile> = configured.endpoints.iter().map(endpoint).collect();
    let limits = &configured.limits;
    Ok(Api::new(Parts {
        authenticator: Authenticator::new(&keys, &jwt(configured))?,
        catalogue: Catalogue::build(&endpoints)?,
        codec,
        producer: EventProducer::new(&places.client_config(), QUEUE_BYTES, limits.publish_timeout)?,
        admission,
        body: BodyLimits { max_bytes: limits.body_max_bytes, timeout: limits.body_timeout },
        publish_timeout: limits.publish_timeout,
        rate: Rate { per_second: configured.rate_limit.per_second, burst: configured.rate_limit.burst },
    }))
}

/// What its connections may take.
#[must_use]
pub fn api_connections(configured: &Configured) -> ConnectionLimits {
    let limits = &configured.limits;
    ConnectionLimits {
        connections: limits.connections,
        header_max_bytes: limits.header_max_bytes,
        header_timeout: limits.header_timeout,
    }
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
