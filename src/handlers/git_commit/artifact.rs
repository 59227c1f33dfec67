//! Where generated pages go. The name holds the content's hash, and the registry entry, which is fenced, says which page is
//! current.

use sha2::{Digest as _, Sha256};

use crate::dispatch::artifact::{Artifact, hex, slug};

/// `documents/<repository>/<2 digits>/<file>.<32 digits>.html`: three folders and a name, whatever the source's names
/// are, so nothing of theirs can lead out of the store or stand in the way of another file.
#[must_use]
pub(super) fn page(repository: &str, path: &[u8], html: &str) -> Artifact {
    let sha256 = hex(&Sha256::digest(html));
    let repository = format!("{}-{}", slug(tail(repository).as_bytes()), &hex(&Sha256::digest(repository))[..8]);
    let path = format!("documents/{repository}/{}/{}.{}.html", &sha256[..2], slug(path), &sha256[..32]);
    Artifact::new(path, html.as_bytes())
}

/// The last part of a URL or path.
fn tail(repository: &str) -> &str {
    let trimmed = repository.trim_end_matches('/').trim_end_matches("/.git").trim_end_matches(".git");
    trimmed.rsplit(['/', ':', '\\']).next().unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    fn check(repository: &str, path: &[u8], expected: &str) {
        assert_eq!(page(repository, path, "x").artifact_path, expected);
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
                let artifact = page(repository, path, "x");
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
        let artifact = page("r", &b"d/".repeat(4_000), "x");
        assert!(artifact.artifact_path.len() < 200, "{artifact:?}");
    }
}
