//! Entity tags (RFC 9110, 8.8.3): an entry's is its version, strong, since equal versions are equal bytes.

use axum::http::{HeaderMap, HeaderName, StatusCode};

use crate::http::api::problem::Problem;

/// Of one header.
const TAGS_MAX: usize = 16;

/// What a precondition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tags {
    /// `*`
    Any,
    /// What could be a version of ours; another's tag matches nothing.
    Versions(Vec<i64>),
}

pub(super) fn tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The tags of `If-None-Match`, where a weak one counts as the strong one.
///
/// # Errors
/// 400
pub(super) fn weak(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    tags(headers, name, true)
}

/// The tags of `If-Match`, where a weak one matches nothing.
///
/// # Errors
/// 400
pub(super) fn strong(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    tags(headers, name, false)
}

fn tags(headers: &HeaderMap, name: &HeaderName, weak_counts: bool) -> Result<Option<Tags>, Problem> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let refused = || {
        let detail = format!("{name} is not allowed; allowed: * or at most {TAGS_MAX} entity tags such as \"7\"");
        Problem::new(StatusCode::BAD_REQUEST, "invalid-precondition", detail)
    };
    let mut versions = Vec::new();
    for value in headers.get_all(name) {
        let value = value.to_str().map_err(|_| refused())?;
        if value.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        // No tag of ours has a comma in it.
        for text in value.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let (is_weak, quoted) = text.strip_prefix("W/").map_or((false, text), |rest| (true, rest));
            let opaque = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(refused)?;
            if weak_counts || !is_weak {
                versions.extend(opaque.parse::<i64>().ok().filter(|version| *version > 0));
            }
        }
    }
    if versions.len() > TAGS_MAX { Err(refused()) } else { Ok(Some(Tags::Versions(versions))) }
}

/// What [`crate::http::api`]'s fuzz target asks.
#[cfg(any(test, fuzzing))]
pub(in crate::http::api) fn check(headers: &HeaderMap) {
    use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
    for tags in [weak(headers, &IF_NONE_MATCH), strong(headers, &IF_MATCH)] {
        assert!(!matches!(tags, Ok(Some(Tags::Versions(versions))) if versions.len() > TAGS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::IF_MATCH;

    use super::*;

    #[test]
    fn tags_are_versions_in_quotes() {
        let check = |text: &str, weak_counts: bool, expected: Result<Tags, u16>| {
            let headers = [(IF_MATCH, text.parse().unwrap())].into_iter().collect();
            let found = tags(&headers, &IF_MATCH, weak_counts).map_err(|problem| problem.status.as_u16());
            assert_eq!(found.map(Option::unwrap), expected, "{text}");
        };
        let versions = |versions: &[i64]| Ok(Tags::Versions(versions.to_vec()));
        check("\"7\"", false, versions(&[7]));
        check("\"7\", W/\"8\"", false, versions(&[7]));
        check("\"7\", W/\"8\"", true, versions(&[7, 8]));
        check("\"somebody's\"", false, versions(&[]));
        check("\"0\"", false, versions(&[]));
        check(" * ", false, Ok(Tags::Any));
        check("7", false, Err(400));
        check(&vec!["\"7\""; TAGS_MAX + 1].join(","), false, Err(400));
        assert_eq!(tags(&HeaderMap::new(), &IF_MATCH, false), Ok(None));
    }
}
