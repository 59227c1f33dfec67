//! Which channels are told what, where a notification names none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Severity;
use crate::dispatch::routes::Patterns;

/// Every rule that matches adds its channels; of one that several name, the first decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// At least this bad.
    pub severity: Severity,
    /// Globs over what it is about.
    pub sources: Patterns,
    pub channels: Vec<String>,
    pub pace: Pace,
}

/// How much a channel is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Equal `dedupKey`s are said once within it.
    pub dedup_window: Duration,
    /// How long those of one `groupKey` wait for each other.
    pub group_wait: Duration,
}

/// Dead letters that somebody is told of.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetterRule {
    /// Globs over the event's type.
    pub types: Patterns,
    /// Names of classes, such as `invalid`; any if there is none.
    pub classes: Vec<String>,
    pub severity: Severity,
}

impl Rule {
    fn matches(&self, severity: Severity, source: &str) -> bool {
        severity >= self.severity && self.sources.matches(source)
    }
}

/// The channels, each once, in the order of their names.
pub(super) fn decide<'a>(rules: &'a [Rule], severity: Severity, source: &str) -> BTreeMap<&'a str, Pace> {
    let mut chosen = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.matches(severity, source)) {
        for channel in &rule.channels {
            chosen.entry(channel.as_str()).or_insert(rule.pace);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_matches_adds_its_channels() {
        let pace = |minutes| Pace { dedup_window: Duration::from_secs(60 * minutes), group_wait: Duration::ZERO };
        let rule = |severity, sources: &str, channels: &[&str], minutes| Rule {
            severity,
            sources: Patterns::new(vec![sources.to_owned()]).unwrap(),
            channels: channels.iter().map(|name| (*name).to_owned()).collect(),
            pace: pace(minutes),
        };
        let rules = [
            rule(Severity::Critical, "*", &["mail", "chat"], 1),
            rule(Severity::Info, "/git/*", &["chat", "log"], 2),
            rule(Severity::Warning, "*", &["chat"], 3),
        ];
        let check = |severity, source: &str, expected: &[(&str, u64)]| {
            let expected: Vec<(&str, Pace)> = expected.iter().map(|(name, minutes)| (*name, pace(*minutes))).collect();
            let decided: Vec<(&str, Pace)> = decide(&rules, severity, source).into_iter().collect();
            assert_eq!(decided, expected, "{severity} {source}");
        };
        check(Severity::Critical, "/api/x", &[("chat", 1), ("mail", 1)]);
        check(Severity::Critical, "/git/x", &[("chat", 1), ("log", 2), ("mail", 1)]);
        check(Severity::Warning, "/git/x", &[("chat", 2), ("log", 2)]);
        check(Severity::Warning, "/api/x", &[("chat", 3)]);
        check(Severity::Info, "/api/x", &[]);
    }
}
