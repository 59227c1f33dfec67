//! GitLab's webhooks: signed as Standard Webhooks where the webhook has a signing token (`whsec_…`), else by a secret that
//! comes along in `X-Gitlab-Token`.
//!
//! A delivery with a signature is judged by it alone where a signing token is known: a token that came along proves less.
//!
//! <https://docs.gitlab.com/user/project/integrations/webhooks/>

use axum::http::HeaderMap;

use super::mac::Passwords;
use super::refused::{Refused, required};
use super::standard::{self, BadStandardSecret, Standard};
use super::window::Window;

const TOKEN: &str = "x-gitlab-token";
pub(super) const EVENT: &str = "x-gitlab-event";

#[derive(Clone, Debug)]
pub struct Gitlab {
    signing: Option<Standard>,
    tokens: Passwords,
}

impl Gitlab {
    /// Secrets that begin with `whsec_` are signing tokens, all others secret tokens.
    ///
    /// # Errors
    /// A signing token that is none.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, window: Window) -> Result<Self, BadStandardSecret> {
        let (signing, tokens): (Vec<_>, Vec<_>) =
            secrets.into_iter().partition(|secret| secret.starts_with(standard::SHARED_PREFIX));
        let signing = (!signing.is_empty()).then(|| Standard::new(signing, window)).transpose()?;
        Ok(Self { signing, tokens: Passwords::new(tokens.into_iter().map(str::as_bytes)) })
    }

    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<(), Refused> {
        match &self.signing {
            Some(signing) if self.tokens.is_empty() || headers.contains_key(standard::SIGNATURE) => {
                signing.verify(headers, body, now_ms).map(|_| ())
            }
            _ => {
                let given = required(headers, TOKEN)?;
                if self.tokens.include(given.as_bytes()) { Ok(()) } else { Err(Refused::Mismatch(TOKEN.to_owned())) }
            }
        }
    }
}
