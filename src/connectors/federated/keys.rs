//! Ed25519 keys (RFC 8032) in the forms that people have them in: PEM (RFC 8410), or 32 bytes in base64.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;

/// What RFC 8410 puts before the 32 bytes of a public key.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PUBLIC_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("this is no Ed25519 public key; allowed: PEM (BEGIN PUBLIC KEY), or its 32 bytes in base64")]
    Public,
    #[error("this is no Ed25519 private key; allowed: PEM (BEGIN PRIVATE KEY), as `coafi federated keygen` writes it")]
    Private,
}

/// The bytes of a key with which a domain's signatures are checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl PublicKey {
    /// # Errors
    /// [`BadKey::Public`]
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let der = pem(text, "PUBLIC KEY");
        let bytes = match &der {
            Some(der) => der.strip_prefix(&SPKI_PREFIX[..]).map(<[u8]>::to_vec),
            None => {
                let text = text.trim();
                STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()
            }
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(BadKey::Public)
    }

    /// As `public_key` is written in the configuration.
    #[must_use]
    pub fn text(&self) -> String {
        STANDARD.encode(self.0)
    }

    #[must_use]
    pub fn pem(&self) -> String {
        written("PUBLIC KEY", &[&SPKI_PREFIX[..], &self.0].concat())
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.text())
    }
}

/// A domain's private key. Shown to nobody.
pub struct PrivateKey {
    /// PKCS#8, version 1, which every other tool reads.
    der: Vec<u8>,
    public: PublicKey,
}

impl PrivateKey {
    /// # Panics
    /// The system gives no random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let pair = Ed25519KeyPair::generate().expect("the system gives random numbers");
        let der = pair.to_pkcs8v1().expect("a key that was made can be written");
        Self { der: der.as_ref().to_vec(), public: public(&pair) }
    }

    /// # Errors
    /// [`BadKey::Private`]
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let der = pem(text, "PRIVATE KEY").ok_or(BadKey::Private)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| BadKey::Private)?;
        Ok(Self { der, public: public(&pair) })
    }

    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// For its file.
    #[must_use]
    pub fn pem(&self) -> String {
        written("PRIVATE KEY", &self.der)
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public)
    }
}

fn public(pair: &Ed25519KeyPair) -> PublicKey {
    PublicKey(pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
}

/// When a key may have signed. Both ends may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
}

impl Validity {
    pub(super) fn has(self, at: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= at) && self.not_after.is_none_or(|to| at <= to)
    }
}

/// One of the keys of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainKey {
    /// Which one, as envelopes name it.
    pub kid: String,
    pub public: PublicKey,
    pub validity: Validity,
}

/// The bytes between the lines of a PEM text (RFC 7468); `None` if there are no such lines.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

fn written(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(LINE).map(|line| std::str::from_utf8(line).expect("base64 is ASCII"));
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = PrivateKey::generate();
        let again = PrivateKey::parse(&key.pem()).unwrap();
        assert_eq!((again.public(), again.der()), (key.public(), key.der()));
        for text in [key.public().text(), key.public().pem(), URL_SAFE_NO_PAD.encode(key.public().bytes())] {
            assert_eq!(PublicKey::parse(&text).as_ref(), Ok(key.public()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let key = PrivateKey::generate();
        for text in ["", "AAAA", &key.pem(), &key.public().pem()[..60]] {
            assert_eq!(PublicKey::parse(text), Err(BadKey::Public), "{text}");
        }
        for text in [&*key.public().pem(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            assert_eq!(PrivateKey::parse(text).err(), Some(BadKey::Private), "{text}");
        }
        assert!(!format!("{key:?}").contains(&STANDARD.encode(key.der())[24..]));
    }
}
