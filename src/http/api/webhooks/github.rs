//! GitHub's webhooks: `X-Hub-Signature-256` is the HMAC-SHA256 of the body, hexadecimal. No time is signed, so there is no
//! replay window: a delivery that somebody sends again makes a connector look, and nothing more.
//!
//! <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>

use axum::http::HeaderMap;

use super::hmac::unhex;
use super::mac::{Algorithm, MacKeys};
use super::refused::{Refused, required};

const SIGNATURE: &str = "x-hub-signature-256";
pub(super) const EVENT: &str = "x-github-event";

#[derive(Clone, Debug)]
pub struct Github {
    keys: MacKeys,
}

impl Github {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self { keys: MacKeys::new(Algorithm::Sha256, secrets.into_iter().map(str::as_bytes)) }
    }

    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let text = required(headers, SIGNATURE)?;
        let code = text.strip_prefix("sha256=").and_then(unhex).ok_or_else(|| Refused::Malformed {
            header: SIGNATURE.to_owned(),
            allowed: "sha256= and 64 hexadecimal digits".to_owned(),
        })?;
        if self.keys.made(&code, &[body]) { Ok(()) } else { Err(Refused::Mismatch(SIGNATURE.to_owned())) }
    }
}
