//! Preconditions of HTTP's (RFC 9110, 13.1), as a request's body carries them.

use serde::Deserialize;

/// `*`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Any {
    #[serde(rename = "*")]
    Any,
}

/// Of an entry that must exist: at any version, or at one of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum IfMatch {
    Any(Any),
    Versions(Vec<i64>),
}

impl IfMatch {
    /// `version` 0: the entry does not exist.
    pub(super) fn holds_of(&self, version: i64) -> bool {
        version != 0
            && match self {
                Self::Any(Any::Any) => true,
                Self::Versions(versions) => versions.contains(&version),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_matches_nothing() {
        let check = |text: &str, version: i64, expected: bool| {
            let wanted: IfMatch = serde_json::from_str(text).unwrap();
            assert_eq!(wanted.holds_of(version), expected, "{text} {version}");
        };
        check(r#""*""#, 0, false);
        check(r#""*""#, 7, true);
        check("[6, 7]", 7, true);
        check("[6]", 7, false);
        check("[0]", 0, false);
        check("[]", 7, false);
    }
}
