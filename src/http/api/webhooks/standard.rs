//! Standard Webhooks: `webhook-signature` has signatures over `<webhook-id>.<webhook-timestamp>.<body>`, with blanks between
//! them: `v1,<base64>` is an HMAC-SHA256, `v1a,<base64>` Ed25519.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::delivery::DeliveryId;
use super::mac::{Algorithm, MacKeys};
use super::refused::{Refused, required};
use super::window::Window;
pub(super) use crate::outgoing::standard_webhooks::{ID, SHARED_PREFIX, SIGNATURE, TIMESTAMP};

/// Of a public key.
const PUBLIC_PREFIX: &str = "whpk_";
/// Signatures of one delivery that are looked at; a sender has one for each of its secrets.
const SIGNATURES_MAX: usize = 16;
/// Below this a secret is guessed; the specification wants 24.
const SECRET_BYTES_MIN: usize = 16;

#[derive(Clone, Debug)]
pub struct Standard {
    shared: MacKeys,
    public: Vec<ParsedPublicKey>,
    window: Window,
}

/// Does not say what it is: it may be nearly the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a secret is not one of Standard Webhooks; allowed: whsec_ and at least {SECRET_BYTES_MIN} bytes in base64, or \
     whpk_ and an Ed25519 public key in base64"
)]
pub struct BadStandardSecret;

impl Standard {
    /// Each secret is `whsec_<base64>`, or `whpk_<base64>` for a sender that signs with a private key.
    ///
    /// # Errors
    /// One that is neither.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, window: Window) -> Result<Self, BadStandardSecret> {
        let (mut shared, mut public) = (Vec::new(), Vec::new());
        for secret in secrets {
            let decoded = |text: &str| BASE64.decode(text).map_err(|_| BadStandardSecret);
            if let Some(text) = secret.strip_prefix(SHARED_PREFIX) {
                shared.push(decoded(text)?);
            } else if let Some(text) = secret.strip_prefix(PUBLIC_PREFIX) {
                public.push(ParsedPublicKey::new(&ED25519, decoded(text)?).map_err(|_| BadStandardSecret)?);
            } else {
                return Err(BadStandardSecret);
            }
        }
        if shared.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(BadStandardSecret);
        }
        let shared = MacKeys::new(Algorithm::Sha256, shared.iter().map(Vec::as_slice));
        Ok(Self { shared, public, window })
    }

    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<DeliveryId, Refused> {
        let (id, timestamp) = (required(headers, ID)?, required(headers, TIMESTAMP)?);
        let signatures = required(headers, SIGNATURE)?;
        let content: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        if !signatures.split(' ').take(SIGNATURES_MAX).any(|signature| self.made(signature, &content)) {
            return Err(Refused::Mismatch(SIGNATURE.to_owned()));
        }
        // After the signature: what is not signed is not worth a reason.
        self.window.check(TIMESTAMP, timestamp, now_ms)?;
        Ok(DeliveryId::given(id))
    }

    /// Signatures of other versions are no reason to refuse: a sender may add them.
    fn made(&self, signature: &str, content: &[&[u8]]) -> bool {
        let Some((version, text)) = signature.split_once(',') else { return false };
        let Ok(bytes) = BASE64.decode(text) else { return false };
        match version {
            "v1" => !self.shared.is_empty() && self.shared.made(&bytes, content),
            "v1a" if !self.public.is_empty() => {
                let content = content.concat();
                self.public.iter().any(|key| key.verify_sig(&content, &bytes).is_ok())
            }
            _ => false,
        }
    }
}
