//! Bearer tokens: signature, times, issuer and audience (RFC 7519, RFC 8725).

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::auth::{AuthError, Refused};
use super::jwks::{Jwks, JwksError};
use super::principal::Principal;

/// How tokens are checked.
#[derive(Clone, Default)]
pub struct JwtSettings {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub jwks_url: Option<String>,
    pub jwks_refresh: Duration,
    /// For HS256; at least 32 bytes.
    pub secret: Option<Vec<u8>>,
    pub permissions_claim: String,
    pub leeway: Duration,
}

/// Of a subject, which becomes part of events.
const SUBJECT_BYTES_MAX: usize = 256;
/// Of one token.
const PERMISSIONS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Jwt {
    issuer: Option<String>,
    audience: Option<String>,
    secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    permissions_claim: String,
    leeway_seconds: u64,
}

#[derive(serde::Deserialize)]
struct Claims {
    sub: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Jwt {
    /// `None` if there is nothing to check a token by.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(settings: &JwtSettings) -> Result<Option<Self>, AuthError> {
        if settings.jwks_url.is_none() && settings.secret.is_none() {
            return Ok(None);
        }
        let jwks = settings.jwks_url.clone().map(|url| Jwks::new(url, settings.jwks_refresh)).transpose()?;
        Ok(Some(Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            secret: settings.secret.as_deref().map(DecodingKey::from_secret),
            jwks,
            permissions_claim: settings.permissions_claim.clone(),
            leeway_seconds: settings.leeway.as_secs(),
        }))
    }

    /// # Errors
    /// [`Refused`]: the token is none, or cannot be checked now.
    pub(super) async fn principal(&self, token: &str) -> Result<Principal, Refused> {
        let invalid = |error: jsonwebtoken::errors::Error| Refused::Invalid(format!("the token is not valid: {error}"));
        let header = decode_header(token).map_err(invalid)?;
        // Whoever does not know an extension that must be understood refuses the token (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Refused::Invalid("the token needs an extension (crit), and none is known here".to_owned()));
        }
        let key = self.key(header.alg, header.kid.as_deref()).await?;
        let claims = decode::<Claims>(token, &key, &self.validation(header.alg)).map_err(invalid)?.claims;
        let subject = claims.sub.as_deref().unwrap_or_default();
        if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
            let allowed = format!("1 to {SUBJECT_BYTES_MAX} bytes of printable text");
            return Err(Refused::Invalid(format!("the token's subject is not allowed; allowed: {allowed}")));
        }
        Ok(Principal { name: format!("jwt:{subject}"), permissions: self.permissions(&claims) })
    }

    /// Each algorithm has its own kind of key, so that a public key is never taken for a secret.
    async fn key(&self, algorithm: Algorithm, id: Option<&str>) -> Result<DecodingKey, Refused> {
        match (algorithm, &self.secret, &self.jwks) {
            (Algorithm::HS256, Some(secret), _) => Ok(secret.clone()),
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(jwks)) => {
                jwks.key(id, algorithm).await.map_err(|error| match error {
                    JwksError::UnknownKey => Refused::Invalid(error.to_string()),
                    JwksError::Unavailable(_) => Refused::Unavailable,
                })
            }
            _ => Err(Refused::Invalid(format!("tokens that are signed by {algorithm:?} are not taken here"))),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        match &self.issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            None => validation.iss = None,
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn permissions(&self, claims: &Claims) -> Vec<String> {
        let permissions: Vec<String> = match claims.others.get(&self.permissions_claim) {
            Some(Value::Array(listed)) => listed.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        permissions.into_iter().take(PERMISSIONS_MAX).collect()
    }
}

#[cfg(test)]
mod tests;
