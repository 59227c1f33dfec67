//! Webhooks of services that sign in a way of their own: an HMAC of the body, alone or with a time and an id, in a header.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::delivery::DeliveryId;
use super::mac::{Algorithm, MacKeys};
use super::refused::{Refused, required};
use super::template::Template;
use super::window::Window;

/// How the code is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
}

/// Where the code is, and what of.
#[derive(Clone, Debug)]
pub struct Hmac {
    keys: MacKeys,
    header: String,
    /// Before the code, in the header; often empty.
    prefix: String,
    encoding: Encoding,
    signed: Template,
    /// The header with the time in seconds since 1970, and how far it may be from now.
    timestamp: Option<(String, Window)>,
    id_header: Option<String>,
}

/// What [`Hmac::new`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub header: String,
    pub prefix: String,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub signed: Template,
    pub timestamp: Option<(String, Window)>,
    pub id_header: Option<String>,
}

impl Hmac {
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, scheme: Scheme) -> Self {
        let keys = MacKeys::new(scheme.algorithm, secrets.into_iter().map(str::as_bytes));
        let Scheme { header, prefix, algorithm: _, encoding, signed, timestamp, id_header } = scheme;
        Self { keys, header, prefix, encoding, signed, timestamp, id_header }
    }

    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<DeliveryId, Refused> {
        let text = required(headers, &self.header)?;
        let code = text.strip_prefix(&self.prefix).and_then(|code| self.decode(code)).ok_or_else(|| {
            let how = match self.encoding {
                Encoding::Hex => "hexadecimal digits",
                Encoding::Base64 => "base64",
            };
            let allowed = format!("{:?} and a code in {how}", self.prefix);
            Refused::Malformed { header: self.header.clone(), allowed }
        })?;
        let timestamp = match &self.timestamp {
            Some((header, _)) => required(headers, header)?,
            None => "",
        };
        let id = self.id_header.as_deref().map(|header| required(headers, header)).transpose()?;
        if !self.keys.made(&code, &self.signed.fill(body, timestamp, id.unwrap_or_default())) {
            return Err(Refused::Mismatch(self.header.clone()));
        }
        if let Some((header, window)) = &self.timestamp {
            window.check(header, timestamp, now_ms)?;
        }
        Ok(id.map_or_else(|| DeliveryId::of(&[timestamp.as_bytes(), body]), DeliveryId::given))
    }

    fn decode(&self, code: &str) -> Option<Vec<u8>> {
        match self.encoding {
            Encoding::Hex => unhex(code),
            Encoding::Base64 => BASE64.decode(code).ok(),
        }
    }
}

/// Hexadecimal digits, of either case.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() && !pairs.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
