//! Whether a request was sent before: by the caller's `Idempotency-Key`, which makes its id.
//!
//! The key's request id follows from principal, endpoint and key, so that a repeated request is the same event even if
//! nobody remembers the first any more: consumers know equal ids.

use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::endpoint::Endpoint;
use super::problem::Problem;

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 255;

/// The caller's key, if there is one.
///
/// # Errors
/// 400
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.trim().is_empty() && text.len() <= KEY_BYTES_MAX);
    match (text, more) {
        (Some(text), None) => Ok(Some(text.trim())),
        _ => {
            let detail =
                format!("Idempotency-Key is not allowed; allowed: one of 1 to {KEY_BYTES_MAX} printable characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-idempotency-key", detail))
        }
    }
}

/// The id of the request that this key stands for.
pub(super) fn request_id(principal: &str, endpoint: &Endpoint, key: &str) -> String {
    let digest = digest(&[principal.as_bytes(), endpoint.name.as_bytes(), endpoint.method.as_bytes(), key.as_bytes()]);
    format!("ik-{}", &digest[..32])
}

/// SHA-256 over parts and their lengths, hexadecimal.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_printable_text() {
        let check = |values: &[&str], expected: Result<Option<&str>, u16>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, value.parse().unwrap());
            }
            assert_eq!(key(&headers).map_err(|problem| problem.status.as_u16()), expected, "{values:?}");
        };
        check(&[], Ok(None));
        check(&["a-1"], Ok(Some("a-1")));
        check(&[" "], Err(400));
        check(&["a", "b"], Err(400));
        check(&["ü"], Err(400));
        check(&[&"x".repeat(KEY_BYTES_MAX + 1)], Err(400));
    }

    #[test]
    fn a_key_stands_for_one_request_of_one_principal_at_one_endpoint() {
        let id = |principal, path, key| request_id(principal, &Endpoint::new(path, "POST"), key);
        assert_eq!(id("key:a", "/x", "1"), id("key:a", "x/", "1"));
        for other in [id("key:b", "x", "1"), id("key:a", "y", "1"), id("key:a", "x", "2"), id("key:ax", "", "1")] {
            assert_ne!(other, id("key:a", "x", "1"));
        }
    }
}
