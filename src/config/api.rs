//! The HTTP API: where it listens, who may call it, which endpoints it has, and its bounds.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::webhooks::{self, Webhook};
use super::{Endpoint, Secret};

#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    pub listen: SocketAddr,
    pub keys: Vec<ApiKey>,
    pub jwt: Jwt,
    /// Besides those that coafi brings, and before them.
    pub endpoints: Vec<ApiEndpoint>,
    pub webhooks: Vec<Webhook>,
    /// How long an id is known: for `Idempotency-Key`, and to ask what became of it.
    pub requests_retention: Duration,
    pub limits: ApiLimits,
    pub rate_limit: ApiRate,
}

/// A key that somebody may present; the key itself is nowhere here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub principal: String,
    /// SHA-256 of the key, hexadecimal.
    pub sha256: String,
    pub permissions: Vec<String>,
}

/// Bearer tokens of an identity provider, by its key set, or of whoever shares the secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    /// The tokens' `iss`; any if there is none.
    pub issuer: Option<String>,
    /// The tokens' `aud`.
    pub audience: Option<String>,
    /// Where the provider publishes its keys (RS256, ES256, EdDSA).
    pub jwks_url: Option<Endpoint>,
    /// How old the keys may be before they are fetched again.
    pub jwks_refresh: Duration,
    /// For HS256.
    pub secret: Option<Secret>,
    /// The claim that lists permissions: a list of texts, or one text with blanks between them.
    pub permissions_claim: String,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// An endpoint whose requests some handler takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiEndpoint {
    pub path: String,
    pub method: String,
    /// The JSON Schema of its body.
    pub schema: PathBuf,
    /// Members of the body that make the event's key: requests that agree in them are handled in order. None: no order.
    pub key: Vec<String>,
}

/// What one request, one connection and all of them together may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    pub body_max_bytes: usize,
    /// For the whole body, from its first byte on.
    pub body_timeout: Duration,
    pub header_max_bytes: usize,
    pub header_timeout: Duration,
    /// Until a request is acknowledged by every in-sync replica.
    pub publish_timeout: Duration,
    pub connections: usize,
    /// What `Prefer: wait` is cut to.
    pub wait_max: Duration,
    /// Callers that may wait at a time.
    pub waiting: usize,
}

/// Requests of one principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// An HS256 secret below the hash's own size is guessed (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;

impl Api {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = SocketAddr::from(([0, 0, 0, 0], 8090));
        let allowed = "an address and port, such as 0.0.0.0:8090 or [::1]:8090";
        let api = Self {
            listen: section.parsed("listen", listen, allowed, |t| t.parse().ok(), ToString::to_string),
            keys: section.sections("keys", "principal", ApiKey::read),
            jwt: section.section("jwt", Jwt::read),
            endpoints: section.sections("endpoints", "path", ApiEndpoint::read),
            webhooks: webhooks::read(section),
            requests_retention: section.duration(
                "requests_retention",
                Duration::from_secs(86_400),
                Duration::from_secs(60)..=Duration::from_secs(86_400 * 365),
            ),
            limits: section.section("limits", ApiLimits::read),
            rate_limit: section.section("rate_limit", ApiRate::read),
        };
        for (index, endpoint) in api.endpoints.iter().enumerate() {
            if endpoint.path.split('/').next() == Some("federated") {
                let message = "is where other domains push to; allowed: a path that begins otherwise";
                section.reject(&format!("endpoints[{index}].path"), message);
            }
            if endpoint.path.split('/').next() == Some("webhooks") {
                let message = "is where webhooks are; allowed: a path that begins otherwise, or a webhook of this name";
                section.reject(&format!("endpoints[{index}].path"), message);
            }
        }
        api
    }

    /// Whether anybody could be authenticated, or a webhook be believed.
    #[must_use]
    pub const fn knows_anybody(&self) -> bool {
        !self.webhooks.is_empty() || !self.keys.is_empty() || self.jwt.jwks_url.is_some() || self.jwt.secret.is_some()
    }
}

impl ApiKey {
    fn read(section: &mut Section<'_>) -> Self {
        let hash = |t: &str| {
            let is_hash = t.len() == 64 && t.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then(|| t.to_ascii_lowercase())
        };
        let principal = section.text("principal", "key");
        let allowed = "64 hexadecimal digits, as `coafi api key` prints them";
        let sha256 = section.parsed("sha256", String::new(), allowed, hash, Clone::clone);
        if sha256.is_empty() {
            section.reject("sha256", "is missing; allowed: what `coafi api key` prints");
        }
        let permissions = section.texts("permissions", &[]);
        if let Some(permission) = permissions.iter().find(|permission| !is_permission(permission)) {
            section.reject("permissions", format!("{permission:?} allows nothing; allowed: {PERMISSION_ALLOWED}"));
        }
        Self { principal, sha256, permissions }
    }
}

/// What a permission looks like.
pub const PERMISSION_ALLOWED: &str =
    "api:{endpoint}:{METHOD} such as api:registry/update:POST, or its beginning and a *";

/// Whether it can allow something: `api:{endpoint}:{METHOD}`, or the beginning of one with a `*` for the rest.
#[must_use]
pub fn is_permission(text: &str) -> bool {
    const FIRST: &str = "api:";
    if let Some(begin) = text.strip_suffix('*') {
        return FIRST.starts_with(begin) || begin.starts_with(FIRST);
    }
    let method = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
    let endpoint_and_method = text.strip_prefix(FIRST).and_then(|rest| rest.rsplit_once(':'));
    endpoint_and_method.is_some_and(|(endpoint, last)| !endpoint.is_empty() && method(last))
}

impl Jwt {
    fn read(section: &mut Section<'_>) -> Self {
        let (seconds, minutes) = (Duration::from_secs, |n: u64| Duration::from_secs(60 * n));
        let url = |t: &str| {
            let url = Endpoint::parse(t).filter(|url| ["http", "https"].contains(&url.scheme()))?;
            (!url.has_password()).then_some(Some(url))
        };
        let show = |url: &Option<Endpoint>| url.as_ref().map(ToString::to_string).unwrap_or_default();
        let jwt = Self {
            issuer: section.optional_text("issuer"),
            audience: section.optional_text("audience"),
            jwks_url: section.parsed("jwks_url", None, "a URL that starts with http: or https:", url, show),
            jwks_refresh: section.duration("jwks_refresh", minutes(5), seconds(5)..=minutes(24 * 60)),
            secret: section.secret("secret", "secret_file"),
            permissions_claim: section.text("permissions_claim", "permissions"),
            leeway: section.duration("leeway", seconds(30), Duration::ZERO..=minutes(5)),
        };
        if jwt.secret.as_ref().is_some_and(|secret| secret.expose().len() < SECRET_BYTES_MIN) {
            let key = if section.is_default("secret") { "secret_file" } else { "secret" };
            section.reject(key, format!("is too short for HS256; allowed: at least {SECRET_BYTES_MIN} bytes"));
        }
        // A provider signs tokens for others too.
        if jwt.jwks_url.is_some() && (jwt.issuer.is_none() || jwt.audience.is_none()) {
            section.reject("jwks_url", "needs issuer and audience, or tokens for other services would be taken");
        }
        jwt
    }
}

impl ApiEndpoint {
    fn read(section: &mut Section<'_>) -> Self {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let path = |t: &str| {
            let name = t.trim_start_matches('/');
            name.split('/').all(part).then(|| name.to_owned())
        };
        let methods = [("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")];
        let allowed = "a path of letters, digits, '-', '_' and '.', such as orders/place";
        let path = section.parsed("path", String::new(), allowed, path, Clone::clone);
        let schema = section.optional_text("schema");
        if path.is_empty() {
            section.reject("path", format!("is missing; allowed: {allowed}"));
        }
        if schema.is_none() {
            section.reject("schema", "is missing; allowed: the path of a JSON Schema file");
        }
        Self {
            path,
            method: section.choice("method", &methods).to_owned(),
            schema: schema.unwrap_or_default().into(),
            key: section.texts("key", &[]),
        }
    }
}

impl ApiLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let (kib, seconds) = (|n: u64| n << 10, Duration::from_secs);
        let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            // A record of coafi.api has 1 MiB at most, headers and all.
            body_max_bytes: bytes(section.size("body_max_bytes", kib(256), 1..=kib(900))),
            body_timeout: section.duration("body_timeout", seconds(10), Duration::from_millis(100)..=seconds(300)),
            header_max_bytes: bytes(section.size("header_max_bytes", kib(16), kib(8)..=kib(256))),
            header_timeout: section.duration("header_timeout", seconds(10), Duration::from_millis(100)..=seconds(300)),
            publish_timeout: section.duration("publish_timeout", seconds(8), seconds(1)..=seconds(300)),
            connections: section.integer("connections", 1_000, 1..=100_000),
            wait_max: section.duration("wait_max", seconds(30), seconds(1)..=seconds(300)),
            waiting: section.integer("waiting", 500, 0..=100_000),
        }
    }
}

impl ApiRate {
    fn read(section: &mut Section<'_>) -> Self {
        let number = |section: &mut Section<'_>, key, default| {
            NonZeroU32::new(section.integer(key, default, 1..=1_000_000)).unwrap_or(NonZeroU32::MIN)
        };
        Self { per_second: number(section, "per_second", 100), burst: number(section, "burst", 200) }
    }
}
