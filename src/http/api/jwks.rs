//! An identity provider's public keys, fetched when they are needed and again when they are old or a token names one that is
//! not among them: that is how a provider rotates its keys.
//!
//! Bounded: one fetch at a time, [`KEYS_MAX`] keys, [`BYTES_MAX`] bytes, and at most one fetch per [`REFETCH_AFTER`] however
//! many tokens name unknown keys, or strangers could make us fetch as often as they like.

use std::sync::RwLock;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

const BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const REFETCH_AFTER: Duration = Duration::from_secs(5);
/// While the provider does not answer, its last keys count for this long.
const STALE_MAX: Duration = Duration::from_secs(3_600);

/// Why there is no key for a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwksError {
    #[error("no key of the provider fits the token")]
    UnknownKey,
    #[error("the provider's keys cannot be had: {0}")]
    Unavailable(String),
}

/// The keys at one URL.
pub(super) struct Jwks {
    url: String,
    refresh: Duration,
    client: reqwest::Client,
    keys: RwLock<Fetched>,
    /// Who fetches; when that was last tried.
    turn: Mutex<Option<Instant>>,
}

#[derive(Clone, Default)]
struct Fetched {
    keys: Arc<[Key]>,
    at: Option<Instant>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Jwks {
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(url: String, refresh: Duration) -> Result<Self, reqwest::Error> {
        // A redirect could lead anywhere; the configuration names the place.
        let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Ok(Self { url, refresh, client: client.build()?, keys: RwLock::default(), turn: Mutex::default() })
    }

    /// The key that a token's header names; without an id, the only one of its algorithm.
    ///
    /// # Errors
    /// [`JwksError`]
    pub(super) async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, JwksError> {
        let known = self.fetched();
        let fresh = known.at.is_some_and(|at| at.elapsed() < self.refresh);
        if fresh && let Some(key) = find(&known.keys, id, algorithm) {
            return Ok(key);
        }
        let failed = self.fetch_again().await.err();
        let known = self.fetched();
        let usable = known.at.is_some_and(|at| at.elapsed() < STALE_MAX);
        match (find(&known.keys, id, algorithm).filter(|_| usable), failed) {
            (Some(key), _) => Ok(key),
            (None, None) => Err(JwksError::UnknownKey),
            (None, Some(message)) => Err(JwksError::Unavailable(message)),
        }
    }

    fn fetched(&self) -> Fetched {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches unless that was done a moment ago.
    async fn fetch_again(&self) -> Result<(), String> {
        let mut last = self.turn.lock().await;
        if last.is_some_and(|at| at.elapsed() < REFETCH_AFTER) {
            let has_keys = self.fetched().at.is_some();
            return if has_keys { Ok(()) } else { Err("they could not be had a moment ago".to_owned()) };
        }
        *last = Some(Instant::now());
        let fetched = self.fetch().await;
        if let Err(message) = &fetched {
            tracing::warn!(url = self.url, message, "the keys of tokens cannot be fetched");
        }
        let keys = fetched?.into();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Fetched { keys, at: Some(Instant::now()) };
        Ok(())
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let mut response = self.client.get(&self.url).send().await.map_err(said)?;
        if !response.status().is_success() {
            return Err(format!("the answer is {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(format!("the answer has more than {BYTES_MAX} bytes"));
            }
        }
        parse(&body)
    }
}

/// Keys that check signatures by an algorithm of ours. Others, and kinds that nobody knew yet, are passed over.
fn parse(body: &[u8]) -> Result<Vec<Key>, String> {
    let set: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let listed = set["keys"].as_array().ok_or("the answer has no list \"keys\"")?;
    let known = listed.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let set = JwkSet { keys: known.collect() };
    Ok(set.keys.iter().filter_map(key_of).collect())
}

/// How many keys an answer has that can be used.
#[cfg(any(test, fuzzing))]
pub(super) fn usable(body: &[u8]) -> usize {
    parse(body).map_or(0, |keys| keys.len())
}

/// The algorithm follows from the key, never from the token: a token that says otherwise is not checked with it.
fn key_of(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(parameters) if parameters.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let named = jwk.common.key_algorithm.map(|named| named.to_string());
    let other_use = !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    if other_use || named.is_some_and(|named| named != format!("{algorithm:?}")) {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

fn find(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let mut fitting = keys.iter().filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Some(key.key.clone()),
        // Of several without a name in the token, any could be meant.
        _ => None,
    }
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwks").field("url", &self.url).finish_non_exhaustive()
    }
}
