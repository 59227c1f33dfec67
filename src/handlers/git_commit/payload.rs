//! What has to hold of a `git.commit` payload beyond its schema.

use super::problems::shorten;
use crate::dispatch::Failure;
use crate::schema::payloads::GitCommit;

/// Bytes of a repository's URL or path.
const MAX_URL_BYTES: usize = 2_048;
/// Bytes of a branch's name.
const MAX_BRANCH_BYTES: usize = 1_024;

/// The payload, with its repository's URL without credentials: it ends up in registries, pages and messages.
///
/// # Errors
/// Invalid, with every field that is wrong.
pub(super) fn checked(mut payload: GitCommit) -> Result<GitCommit, Failure> {
    payload.repository_url = without_credentials(&payload.repository_url);
    let mut errors = Vec::new();
    if let Some(error) = object_id(&payload.commit_sha) {
        errors.push(format!("commitSha {error}"));
    }
    if let Some(error) = text(&payload.repository_url, MAX_URL_BYTES) {
        errors.push(format!("repositoryUrl {error}"));
    }
    if let Some(error) = text(&payload.branch, MAX_BRANCH_BYTES) {
        errors.push(format!("branch {error}"));
    }
    if errors.is_empty() {
        return Ok(payload);
    }
    let mut failure = Failure::invalid("invalid_payload", errors.join("; "));
    failure.errors = errors;
    Err(failure)
}

/// What is wrong with an object id, if anything. Upper case is not how git writes one, and equal ids must be equal texts.
pub(crate) fn object_id(sha: &str) -> Option<String> {
    let digits = sha.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits && matches!(sha.len(), 40 | 64) {
        return None;
    }
    Some(format!("{:?} is not an object id; allowed: 40 or 64 lower-case hexadecimal digits", shorten(sha, 80)))
}

pub(crate) fn text(value: &str, max_bytes: usize) -> Option<String> {
    if value.is_empty() {
        Some("is empty".to_owned())
    } else if value.len() > max_bytes {
        Some(format!("has {} bytes; at most {max_bytes} are allowed", value.len()))
    } else if value.chars().any(char::is_control) {
        Some(format!("{:?} has control characters", shorten(value, 80)))
    } else {
        None
    }
}

/// `scheme://user:password@host/…` without what is before the `@`.
pub(crate) fn without_credentials(url: &str) -> String {
    if let Some((scheme, rest)) = url.split_once("://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        if let Some(at) = rest[..end].rfind('@') {
            return format!("{scheme}://{}", &rest[at + 1..]);
        }
    }
    url.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_is_40_or_64_lower_case_digits() {
        for good in ["0123456789abcdef0123456789abcdef01234567".to_owned(), "a".repeat(64)] {
            assert_eq!(object_id(&good), None);
        }
        for bad in ["", "HEAD", "../../etc/passwd", &"A".repeat(40), &"g".repeat(40), &"a".repeat(41), "--upload-pack=x"] {
            assert!(object_id(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn text_has_bounds() {
        assert_eq!(text("main", 10), None);
        for bad in ["", "01234567890", "a\nb", "a\0b"] {
            assert!(text(bad, 10).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn credentials_are_dropped() {
        for (url, expected) in [
            ("https://user:pa@ss@h/r.git", "https://h/r.git"),
            ("https://token@h", "https://h"),
            ("https://h/a@b", "https://h/a@b"),
            ("/srv/git/a@b", "/srv/git/a@b"),
        ] {
            assert_eq!(without_credentials(url), expected);
        }
    }
}
