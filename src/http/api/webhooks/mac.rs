//! Message authentication codes, and comparison in constant time.

use aws_lc_rs::{constant_time, digest, hmac};

/// With which hash an HMAC (RFC 2104) is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
    /// For services that know no other; as an HMAC it is not broken.
    Sha1,
}

/// Keys of which any may have made a code: while a secret is replaced there are two.
#[derive(Clone, Debug)]
pub(super) struct MacKeys(Vec<hmac::Key>);

impl MacKeys {
    pub(super) fn new<'a>(algorithm: Algorithm, secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let algorithm = match algorithm {
            Algorithm::Sha256 => hmac::HMAC_SHA256,
            Algorithm::Sha512 => hmac::HMAC_SHA512,
            Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        Self(secrets.into_iter().map(|secret| hmac::Key::new(algorithm, secret)).collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `code` is that of the parts, one after the other, under one of the keys.
    pub(super) fn made(&self, code: &[u8], parts: &[&[u8]]) -> bool {
        self.0.iter().any(|key| {
            let mut context = hmac::Context::with_key(key);
            parts.iter().for_each(|part| context.update(part));
            constant_time::verify_slices_are_equal(context.sign().as_ref(), code).is_ok()
        })
    }
}

/// Texts of which somebody must know one. Kept as hashes, so that a comparison takes the same time whatever their lengths.
#[derive(Clone, Debug)]
pub(super) struct Passwords(Vec<digest::Digest>);

impl Passwords {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(secrets.into_iter().map(hash).collect())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn include(&self, given: &[u8]) -> bool {
        let given = hash(given);
        self.0.iter().any(|known| constant_time::verify_slices_are_equal(known.as_ref(), given.as_ref()).is_ok())
    }
}

fn hash(text: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, text)
}
