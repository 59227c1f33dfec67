//! Where generated pages go.
//!
//! The name holds the content's hash: an object is written once and never changes. So a handler that wakes up after its
//! partition moved cannot put an old page over a new one (I4 ends at the database), a re-run writes what is there already
//! (I9), and the registry entry, which is fenced, says which page is current.

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::dispatch::Failure;
use crate::engine::Dependency;

/// Bytes of a readable part of a name.
const MAX_SLUG_BYTES: usize = 80;

/// A page in the artifact store.
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
    /// `documents/<repository>/<2 digits>/<file>.<32 digits>.html`: three folders and a name, whatever the source's names
    /// are, so nothing of theirs can lead out of the store or stand in the way of another file.
    #[must_use]
    pub(super) fn of(repository: &str, path: &[u8], html: &str) -> Self {
        let sha256 = hex(&Sha256::digest(html));
        let repository = format!("{}-{}", slug(tail(repository).as_bytes()), &hex(&Sha256::digest(repository))[..8]);
        let artifact_path = format!("documents/{repository}/{}/{}.{}.html", &sha256[..2], slug(path), &sha256[..32]);
        Self { artifact_path, bytes: html.len() as u64, sha256 }
    }

    /// Writes the page; writing it again changes nothing.
    ///
    /// # Errors
    /// Systemic (`artifacts`): disk full, no permission, store unreachable. No event is to blame for any of them.
    pub(super) async fn write(&self, store: &dyn ObjectStore, html: String) -> Result<(), Failure> {
        let path = Path::from(self.artifact_path.as_str());
        store
            .put(&path, PutPayload::from(html.into_bytes()))
            .await
            .map_err(|e| Failure::systemic(Dependency::ARTIFACTS, "artifact_not_written", format_args!("{path}: {e}")))?;
        Ok(())
    }
}

/// The last part of a URL or path.
fn tail(repository: &str) -> &str {
    let trimmed = repository.trim_end_matches('/').trim_end_matches("/.git").trim_end_matches(".git");
    trimmed.rsplit(['/', ':', '\\']).next().unwrap_or(trimmed)
}

/// A readable name of ASCII letters, digits, `-`, `_` and inner dots, bounded, never empty. Not unique: the hash beside it is.
fn slug(name: &[u8]) -> String {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(repository: &str, path: &[u8], expected: &str) {
        assert_eq!(Artifact::of(repository, path, "x").artifact_path, expected);
    }

    #[test]
    fn names_are_readable_and_deterministic() {
        let name = "documents/app-f03e5db3/2d/docs-guide.md.2d711642b726b04401627ca9fbac32f5.html";
        check("https://example.org/team/app.git", b"docs/guide.md", name);
    }

    #[test]
    fn no_name_leads_out_of_the_store() {
        for repository in ["", "..", "/", "../../etc", "a\0b", "C:\\x", "https://h/%2e%2e/"] {
            for path in [&b""[..], b"..", b"../../../etc/passwd", b"\xff\xfe.md", b"a\nb.md", b"/abs", b"%2e%2e/x", b"\0"] {
                let artifact = Artifact::of(repository, path, "x");
                let parts: Vec<&str> = artifact.artifact_path.split('/').collect();
                assert_eq!((parts.len(), parts[0]), (4, "documents"), "{artifact:?}");
                assert!(parts.iter().all(|p| !p.is_empty() && !p.starts_with('.') && p.len() <= 200), "{artifact:?}");
                assert!(artifact.artifact_path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)));
                assert_eq!(Path::parse(&artifact.artifact_path).unwrap().as_ref(), artifact.artifact_path);
            }
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let artifact = Artifact::of("r", &b"d/".repeat(4_000), "x");
        assert!(artifact.artifact_path.len() < 200, "{artifact:?}");
    }
}
