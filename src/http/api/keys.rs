//! API keys. Nobody keeps them: the configuration has their hashes.
//!
//! A fast hash is enough, because a key is 244 random bits and not somebody's choice: [`NewKey`] makes them, and what does
//! not look like one of its keys is refused before it is looked up. Comparing hashes by look-up tells by its timing at most
//! something about the hash of what was sent, of which the sender controls nothing.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::principal::Principal;

/// By which secret scanners, and we, tell a key from a token.
const PREFIX: &str = "coafi_";
/// 32 bytes in base64url.
const RANDOM_CHARS: usize = 43;

/// A key as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    pub principal: String,
    /// SHA-256 of the key, 64 hexadecimal digits in lower case.
    pub sha256: String,
    pub permissions: Vec<String>,
}

/// A key that was just made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    pub key: String,
    pub sha256: String,
}

impl NewKey {
    /// Two version 4 UUIDs: 244 bits of the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        bytes[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        Self { sha256: hash(&key), key }
    }
}

/// Principals by the hashes of their keys.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<String, Principal>);

impl Keys {
    pub(super) fn new(entries: &[KeyEntry]) -> Self {
        let principal = |entry: &KeyEntry| Principal {
            name: format!("key:{}", entry.principal),
            permissions: entry.permissions.clone(),
        };
        Self(entries.iter().map(|entry| (entry.sha256.clone(), principal(entry))).collect())
    }

    /// Whose key this is.
    pub(super) fn principal(&self, key: &str) -> Option<&Principal> {
        is_key(key).then(|| self.0.get(&hash(key)))?
    }
}

/// Whether it looks like a key, known or not.
pub(super) fn is_key(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|random| random.len() == RANDOM_CHARS)
}

fn hash(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_alone() {
        let (key, other) = (NewKey::generate(), NewKey::generate());
        let entry = KeyEntry { principal: "ci".into(), sha256: key.sha256.clone(), permissions: vec!["*".into()] };
        let keys = Keys::new(&[entry]);
        assert_eq!(keys.principal(&key.key).unwrap().name, "key:ci");
        assert!(is_key(&key.key) && is_key(&other.key) && !is_key("coafi_short"));
        assert_eq!(keys.principal(&other.key), None);
        assert_eq!(keys.principal(&key.sha256), None, "a hash that was read somewhere is no key");
    }

    #[test]
    fn a_weak_key_is_none_even_if_its_hash_is_configured() {
        let entry = KeyEntry { principal: "ci".into(), sha256: hash("hunter2"), permissions: Vec::new() };
        assert_eq!(Keys::new(&[entry]).principal("hunter2"), None);
    }
}
