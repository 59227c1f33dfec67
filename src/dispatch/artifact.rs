//! Files that handlers make, in the artifact store: written once, never changed. So a handler that wakes up after its
//! partition moved cannot put an old one over a new one (I4 ends at the database), and a re-run finds what is there already
//! (I9).

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Failure;
use crate::engine::Dependency;

/// Bytes of a readable part of a name.
const MAX_SLUG_BYTES: usize = 80;

/// A file in the artifact store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Path in the artifact store.
    pub artifact_path: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    pub bytes: u64,
}

impl Artifact {
    /// `artifact_path`: of constants, digits and what [`slug`] gives.
    #[must_use]
    pub fn new(artifact_path: String, content: &[u8]) -> Self {
        Self { artifact_path, sha256: hex(&Sha256::digest(content)), bytes: content.len() as u64 }
    }

    /// Writes a file whose name says its content; writing it again changes nothing.
    ///
    /// # Errors
    /// As [`put`].
    pub async fn write(&self, store: &dyn ObjectStore, content: impl Into<PutPayload>) -> Result<(), Failure> {
        put(store, &Path::from(self.artifact_path.as_str()), content).await
    }

    /// Writes a file whose name does not say its content, unless it is there: the first content stays. Gives the one that
    /// is there.
    ///
    /// # Errors
    /// As [`put`].
    pub async fn write_once(
        artifact_path: String,
        store: &dyn ObjectStore,
        content: Bytes,
    ) -> Result<(Self, Bytes), Failure> {
        let path = Path::from(artifact_path.as_str());
        let content = match store.put_opts(&path, content.clone().into(), PutMode::Create.into()).await {
            Ok(_) => content,
            Err(Error::AlreadyExists { .. }) => {
                let stored = async { store.get(&path).await?.bytes().await };
                stored.await.map_err(|error| unwritten(&path, &error))?
            }
            Err(error) => return Err(unwritten(&path, &error)),
        };
        Ok((Self::new(artifact_path, &content), content))
    }
}

/// Writes a file whose name says its content.
///
/// # Errors
/// Systemic (`artifacts`): disk full, no permission, store unreachable. No event is to blame for any of them.
pub async fn put(store: &dyn ObjectStore, path: &Path, content: impl Into<PutPayload>) -> Result<(), Failure> {
    store.put(path, content.into()).await.map(drop).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &Error) -> Failure {
    Failure::systemic(Dependency::ARTIFACTS, "artifact_not_written", format_args!("{path}: {}", told(error)))
}

/// What keeps a store away, such as a certificate that is not believed, before the store's own words, which end before it and are
/// cut where messages are bounded.
pub(super) fn told(error: &Error) -> String {
    let (text, mut innermost) = (error.to_string(), error as &dyn std::error::Error);
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    let cause = innermost.to_string();
    if text.contains(&cause) { text } else { format!("{cause} ({text})") }
}

/// A readable name of ASCII letters, digits, `-`, `_` and inner dots, bounded, never empty. Not unique: a hash beside it is.
#[must_use]
pub fn slug(name: &[u8]) -> String {
    let safe = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte),
        _ => '-',
    };
    // The end says more than the beginning: it is the file's name.
    let kept = &name[name.len().saturating_sub(MAX_SLUG_BYTES)..];
    let slug: String = kept.iter().map(safe).collect();
    match slug.trim_matches(['.', '-']) {
        "" => "unnamed".to_owned(),
        slug => slug.to_owned(),
    }
}

#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// 32 hexadecimal digits that follow from the parts and where each ends.
#[must_use]
pub fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_is_written_once_stays() {
        let store = InMemory::new();
        for (content, stays) in [("one", "one"), ("another", "one")] {
            let written = Artifact::write_once("reports/a.json".to_owned(), &store, content.into()).await.unwrap();
            assert_eq!(written, (Artifact::new("reports/a.json".to_owned(), stays.as_bytes()), stays.into()));
        }
    }

    #[test]
    fn a_digest_knows_where_parts_end() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&[]).len(), 32);
    }
}
