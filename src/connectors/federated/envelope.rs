//! Signed envelopes: a JWT (RFC 7519) that a domain signs with Ed25519 (RFC 8037), and whose claim `event` is the message.
//!
//! | claim | what it has to be |
//! |---|---|
//! | `iss` | the domain at whose place it came |
//! | `aud` | this deployment, or a list with it |
//! | `iat`, `exp` | now is between them, and they are no further apart than is allowed |
//! | `jti` | the event's id |
//! | `event` | a CloudEvent in JSON format |
//!
//! The header names the key (`kid`), which must be one of the domain's that is valid at that time. The algorithm follows from
//! the key: a token that names another is refused. Extensions that must be understood (`crit`) are not.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::Message;
use super::keys::{DomainKey, PrivateKey};
use super::refusal::{Refusal, Refused};
use crate::schema::payloads::{FederatedAuthentication, FederatedMessage, FederatedMethod};

/// `typ` of ours. Others may say `JWT`, or nothing.
pub const TYPE: &str = "JWT";

/// How long envelopes may be valid, and how far clocks may be apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub max: Duration,
    pub leeway: Duration,
}

/// Checks envelopes for one deployment.
#[derive(Clone, Debug)]
pub struct Verifier {
    audience: String,
    lifetime: Lifetime,
    domains: BTreeMap<String, Vec<Known>>,
}

#[derive(Clone)]
struct Known {
    key: DomainKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(f)
    }
}

/// A message that a domain signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub message: FederatedMessage,
    /// The event as it was signed.
    pub event: String,
}

#[derive(Deserialize)]
struct Read {
    iss: Option<String>,
    aud: Option<Audience>,
    iat: Option<f64>,
    exp: Option<f64>,
    nbf: Option<f64>,
    jti: Option<String>,
    event: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Verifier {
    #[must_use]
    pub fn new(
        audience: &str,
        lifetime: Lifetime,
        domains: impl IntoIterator<Item = (String, Vec<DomainKey>)>,
    ) -> Self {
        let known = |key: DomainKey| {
            let decoding = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(key.public.bytes()));
            Known { key, decoding: decoding.expect("what was encoded is base64") }
        };
        let domains = domains.into_iter().map(|(name, keys)| (name, keys.into_iter().map(known).collect()));
        Self { audience: audience.to_owned(), lifetime, domains: domains.collect() }
    }

    /// Whether the domain has keys.
    #[must_use]
    pub fn knows(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    /// The message in an envelope of `domain`, at the time `now`.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn verify(&self, domain: &str, token: &[u8], now: Timestamp) -> Result<Verified, Refused> {
        let malformed = |error: &dyn std::fmt::Display| Refusal::Malformed.because(format!("the envelope: {error}"));
        let token = std::str::from_utf8(token).map_err(|error| malformed(&error))?.trim();
        let key = self.key(domain, token, now)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Times and audience are checked here, by a time that is given.
        (validation.validate_exp, validation.validate_aud) = (false, false);
        validation.required_spec_claims.clear();
        let read = decode::<Read>(token, &key.decoding, &validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => {
                Refusal::BadSignature.because(format!("the signature is not of key {:?}", key.key.kid))
            }
            _ => malformed(&error),
        })?;
        let claims = read.claims;
        if claims.iss.as_deref() != Some(domain) {
            return Err(Refusal::Issuer.because(format!("iss is not allowed; allowed: {domain}")));
        }
        if !claims.aud.is_some_and(|audience| audience.includes(&self.audience)) {
            return Err(Refusal::Audience.because(format!("aud is not allowed; allowed: {}", self.audience)));
        }
        let issued = self.check_times((claims.iat, claims.exp, claims.nbf), now)?;
        let event = claims.event.ok_or_else(|| malformed(&"claim event is missing"))?;
        let message = Message::structured(event.get())?;
        if claims.jti.as_deref() != Some(&message.id) {
            return Err(malformed(&"jti is not the event's id"));
        }
        let key_id = Some(key.key.kid.clone());
        let authentication = FederatedAuthentication { method: FederatedMethod::Signature, key_id };
        Ok(Verified { message: message.of_domain(domain, authentication, issued), event: event.get().to_owned() })
    }

    /// The key that the header names, before anything that it signs is believed.
    fn key(&self, domain: &str, token: &str, now: Timestamp) -> Result<&Known, Refused> {
        let header = header(token)?;
        if header.alg != "EdDSA" {
            return Err(Refusal::Algorithm.because(format!("alg {:?} is not allowed; allowed: EdDSA", header.alg)));
        }
        if header.crit.is_some() {
            return Err(Refusal::Malformed.because("crit is not allowed: no extension is known here"));
        }
        decode_header(token).map_err(|error| Refusal::Malformed.because(format!("the envelope: {error}")))?;
        let kid = header.kid.ok_or_else(|| Refusal::Malformed.because("the header names no key (kid)"))?;
        let keys = self.domains.get(domain).map(Vec::as_slice).unwrap_or_default();
        let known = keys.iter().find(|known| known.key.kid == kid);
        let known = known.ok_or_else(|| Refusal::UnknownKey.because(format!("key {kid:?} is none of {domain}'s")))?;
        if !known.key.validity.has(now) {
            return Err(Refusal::KeyNotValid.because(format!("key {kid:?} is not valid at {now}")));
        }
        Ok(known)
    }

    /// When it was issued.
    fn check_times(
        &self,
        (issued, expires, not_before): (Option<f64>, Option<f64>, Option<f64>),
        now: Timestamp,
    ) -> Result<Timestamp, Refused> {
        let time = |name: &str, seconds: Option<f64>| {
            let seconds = seconds.filter(|seconds| (0.0..TIMES_MAX).contains(seconds));
            let ms = seconds.map(|seconds| (seconds * 1_000.0) as i64);
            let time = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            time.ok_or_else(|| {
                Refusal::Malformed.because(format!("{name} is not allowed; allowed: seconds since 1970"))
            })
        };
        let (issued, expires) = (time("iat", issued)?, time("exp", expires)?);
        let starts = not_before.map(|nbf| time("nbf", Some(nbf))).transpose()?.map_or(issued, |nbf| nbf.max(issued));
        let leeway = self.lifetime.leeway;
        if starts > now + leeway {
            return Err(Refusal::NotYet.because(format!("it is valid from {starts} on, and it is {now}")));
        }
        if expires + leeway < now {
            return Err(Refusal::Expired.because(format!("it expired at {expires}, and it is {now}")));
        }
        if expires < starts {
            return Err(Refusal::Lifetime.because(format!("exp, {expires}, is before it is valid, {starts}")));
        }
        if expires > issued + self.lifetime.max {
            let allowed = crate::config::format_duration(self.lifetime.max);
            return Err(Refusal::Lifetime.because(format!("exp is too long after iat; allowed: {allowed}")));
        }
        Ok(issued)
    }
}

/// Times of an envelope are before this, in seconds since 1970: the year 9000.
const TIMES_MAX: f64 = 221_845_392_000.0;

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(all) => all.iter().any(|one| one == audience),
        }
    }
}

/// What of a header decides, read before the library does: it knows no other algorithms than its own.
#[derive(Deserialize)]
struct Decides {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

fn header(token: &str) -> Result<Decides, Refused> {
    let first = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(first).ok();
    let header = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    header.ok_or_else(|| Refusal::Malformed.because("this is no signed envelope; allowed: a JWT (RFC 7519)"))
}

/// What an envelope says besides its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The domain that signs.
    pub issuer: &'a str,
    /// The deployment that it is for.
    pub audience: &'a str,
    pub issued: Timestamp,
    pub expires: Timestamp,
}

/// An envelope before it is signed.
#[derive(Serialize)]
pub struct Envelope<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a Value,
    event: &'a Value,
}

/// The envelope around a CloudEvent.
///
/// # Errors
/// [`jsonwebtoken::errors::Error`]: the key is none.
pub fn sign(key: &PrivateKey, kid: &str, claims: &Claims<'_>, event: &Value) -> jsonwebtoken::errors::Result<String> {
    let header = Header { typ: Some(TYPE.to_owned()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let envelope = Envelope {
        iss: claims.issuer,
        aud: claims.audience,
        iat: claims.issued.as_second(),
        exp: claims.expires.as_second(),
        jti: &event["id"],
        event,
    };
    encode(&header, &envelope, &EncodingKey::from_ed_der(key.der()))
}

#[cfg(test)]
mod tests;
