//! Anchors of headings, as GitHub makes them.

use std::collections::HashMap;

/// Gives each heading of one document an anchor that no other has.
#[derive(Debug, Default)]
pub(super) struct Slugs {
    /// How often each anchor was given, or how far its numbering has come.
    given: HashMap<String, usize>,
}

impl Slugs {
    /// Lower case; letters, digits, `-` and `_` stay, spaces become `-`; a repeated one gets `-1`, `-2`, …
    pub(super) fn next(&mut self, heading: &str) -> String {
        let base = slug(heading);
        if !self.given.contains_key(&base) {
            self.given.insert(base.clone(), 0);
            return base;
        }
        let mut number = self.given[&base];
        loop {
            number += 1;
            let candidate = format!("{base}-{number}");
            if !self.given.contains_key(&candidate) {
                self.given.insert(base, number);
                self.given.insert(candidate.clone(), 0);
                return candidate;
            }
        }
    }
}

fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_those_of_github() {
        let mut slugs = Slugs::default();
        for (heading, expected) in [
            ("Getting started", "getting-started"),
            ("What's new in 2.0?", "whats-new-in-20"),
            ("`coafi dev` --once", "coafi-dev---once"),
            ("Überblick", "überblick"),
            ("Getting started", "getting-started-1"),
            ("Getting started 1", "getting-started-1-1"),
            ("Getting started", "getting-started-2"),
            ("<script>alert(1)</script>", "scriptalert1script"),
            ("", ""),
            ("!", "-1"),
        ] {
            assert_eq!(slugs.next(heading), expected);
        }
    }
}
