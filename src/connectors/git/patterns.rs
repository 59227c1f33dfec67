//! Branch, tag and path patterns.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// A list of globs that matches if any of them does. `*` stays within one path segment, `**` crosses them; `*` alone
/// matches everything.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: GlobSet,
    texts: Vec<String>,
    /// No pattern was given: everything matches.
    any: bool,
}

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}: {reason}; allowed: globs such as main, release/*, docs/**/*.md")]
pub struct BadPattern {
    pub pattern: String,
    pub reason: String,
}

impl Patterns {
    /// Matches everything.
    #[must_use]
    pub fn any() -> Self {
        Self { set: GlobSet::empty(), texts: Vec::new(), any: true }
    }

    /// Matches nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { set: GlobSet::empty(), texts: Vec::new(), any: false }
    }

    /// Matches what one of `patterns` does; everything if there is none.
    ///
    /// # Errors
    /// The first pattern that is no glob.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, BadPattern> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(pattern.as_ref())?);
        }
        let set = set.build().map_err(|error| BadPattern { pattern: String::new(), reason: error.to_string() })?;
        let texts: Vec<String> = patterns.iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        let any = texts.is_empty() || texts.iter().any(|text| text == "*");
        Ok(Self { set, texts, any })
    }

    /// As they were given.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.any || self.set.is_match(name)
    }

    /// For paths, which need not be UTF-8.
    #[must_use]
    pub fn matches_bytes(&self, path: &[u8]) -> bool {
        self.any
            || match gix::path::from_byte_slice(path) {
                Ok(path) => self.set.is_match(path),
                Err(_) => self.set.is_match(String::from_utf8_lossy(path).as_ref()),
            }
    }

    /// Whether there is nothing to filter.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.any
    }
}

fn glob(pattern: &str) -> Result<Glob, BadPattern> {
    let built = GlobBuilder::new(pattern).literal_separator(true).build();
    built.map_err(|error| BadPattern { pattern: pattern.to_owned(), reason: error.kind().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], name: &str, expected: bool) {
        assert_eq!(Patterns::new(patterns).unwrap().matches(name), expected, "{patterns:?} on {name}");
        assert_eq!(Patterns::new(patterns).unwrap().matches_bytes(name.as_bytes()), expected);
    }

    #[test]
    fn a_star_stays_within_a_segment() {
        check(&["release/*"], "release/1.0", true);
        check(&["release/*"], "release/1.0/hotfix", false);
        check(&["**/*.md"], "docs/a/b.md", true);
        check(&["main", "dev*"], "develop", true);
        check(&["main"], "maint", false);
        check(&[], "anything/at/all", true);
        check(&["*"], "anything/at/all", true);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        assert!(Patterns::new(&["a[b"]).unwrap_err().to_string().contains("a[b"));
    }
}
