//! A schedule's name.

use std::fmt;
use std::str::FromStr;

/// Bytes of a name.
const LENGTH_MAX: usize = 100;

/// Letters, digits, `.`, `_` and `-`; starts with a letter or a digit. It is part of ids, keys and URLs as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name; allowed: 1 to {LENGTH_MAX} letters, digits, \".\", \"_\" and \"-\", a letter or digit first"
)]
pub struct BadName(pub String);

impl Name {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// CloudEvents `source` of its events.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/coafi/schedules/{self}")
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if first && rest && text.len() <= LENGTH_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.to_owned()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
