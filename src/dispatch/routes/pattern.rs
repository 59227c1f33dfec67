//! Patterns for types, sources and topics: globs in which `*` matches any characters, `.` and `/` included.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// One or more patterns, of which any may match; or any text at all.
#[derive(Clone, Debug)]
pub struct Patterns {
    globs: Vec<String>,
    /// `None` for "any".
    matcher: Option<GlobSet>,
}

impl Patterns {
    #[must_use]
    pub fn any() -> Self {
        Self { globs: Vec::new(), matcher: None }
    }

    /// # Errors
    /// The glob that does not parse, and why.
    pub fn new(globs: Vec<String>) -> Result<Self, (String, String)> {
        if globs.iter().any(|glob| glob == "*" || glob == "**") {
            return Ok(Self::any());
        }
        let mut set = GlobSetBuilder::new();
        for glob in &globs {
            let parsed = GlobBuilder::new(glob).literal_separator(false).build();
            set.add(parsed.map_err(|error| (glob.clone(), error.kind().to_string()))?);
        }
        let matcher = set.build().map_err(|error| (globs.join(", "), error.kind().to_string()))?;
        Ok(Self { globs, matcher: Some(matcher) })
    }

    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.matcher.as_ref().is_none_or(|set| set.is_match(text))
    }

    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.matcher.is_none()
    }

    /// Whether everything that `other` matches is certainly matched by this: never wrongly `true`.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        self.is_any()
            || !other.is_any() && other.globs.iter().all(|theirs| self.globs.iter().any(|ours| covers(ours, theirs)))
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.is_any() == other.is_any() && self.globs == other.globs
    }
}

impl std::fmt::Display for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&if self.is_any() { "*".to_owned() } else { self.globs.join(", ") })
    }
}

/// The part before the first character that means something in a glob; the whole of a literal.
fn literal_prefix(glob: &str) -> &str {
    &glob[..glob.find(['*', '?', '[', ']', '{', '}', '\\']).unwrap_or(glob.len())]
}

fn covers(ours: &str, theirs: &str) -> bool {
    let prefix = literal_prefix(ours);
    let rest = &ours[prefix.len()..];
    let theirs_prefix = literal_prefix(theirs);
    match rest {
        "*" => theirs_prefix.starts_with(prefix),
        "" => ours == theirs,
        _ if theirs_prefix.len() == theirs.len() => {
            Patterns::new(vec![ours.to_owned()]).is_ok_and(|pattern| pattern.matches(theirs))
        }
        _ => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(globs: &[&str]) -> Patterns {
        Patterns::new(globs.iter().map(|&g| g.to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_star_crosses_dots_and_slashes() {
        for (globs, text, expected) in [
            (&["git.*"][..], "git.commit", true),
            (&["git.*"], "git.commit.signed", true),
            (&["git.*"], "gitea.commit", false),
            (&["git.commit", "git.tag"], "git.tag", true),
            (&["https://host/*"], "https://host/a/b.git", true),
            (&["*"], "", true),
            (&["git.{commit,tag}"], "git.push", false),
        ] {
            assert_eq!(patterns(globs).matches(text), expected, "{globs:?} on {text:?}");
        }
        assert!(Patterns::any().matches("anything"));
        assert!(Patterns::new(vec!["git.[".into()]).is_err());
    }

    #[test]
    fn covering_is_claimed_only_where_it_is_certain() {
        for (ours, theirs, expected) in [
            (&["*"][..], &["git.commit"][..], true),
            (&["git.*"], &["git.commit"], true),
            (&["git.*"], &["git.c*"], true),
            (&["git.*"], &["git.{commit,tag}"], true),
            (&["git.{commit,tag}"], &["git.tag"], true),
            (&["git.c*"], &["git.*"], false),
            (&["git.commit"], &["git.*"], false),
            (&["git.*", "api.*"], &["api.request", "git.tag"], true),
            (&["git.*"], &["git.tag", "api.request"], false),
            (&["*.commit"], &["git.*"], false),
        ] {
            assert_eq!(patterns(ours).cover(&patterns(theirs)), expected, "{ours:?} over {theirs:?}");
        }
        assert!(!patterns(&["git.*"]).cover(&Patterns::any()));
    }
}
