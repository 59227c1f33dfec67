//! Who is told when an entry changes. The configuration names some; the others are entries of the registry "subscriptions":
//! one for each pattern and subscriber, and, as it was before there were patterns, one under the registry's own name with
//! `{subscribers: […]}` for all of its entries.
//!
//! As entries they have versions, a history and an audit trail like everything else.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Rules, entry_name};
use crate::store::{Store, StoreError};

/// The registry's name.
pub const REGISTRY: &str = "subscriptions";
/// Who is told of one change; a run of a workflow tells each of them in a round of its own.
pub const TOLD_MAX: usize = 100;
/// Patterns and subscribers of one registry that are read.
pub const LISTED_MAX: u32 = 1_000;
/// Of a pattern, whose matching takes time.
pub const PATTERN_BYTES_MAX: usize = 128;

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub registry: String,
    /// A glob over names of entries; `*` stands for any text, `/` too.
    pub entries: String,
    pub subscriber: String,
}

impl Subscription {
    /// The name of its entry.
    #[must_use]
    pub fn name(&self) -> String {
        entry_name(&self.registry, &[self.entries.as_bytes(), self.subscriber.as_bytes()])
    }

    /// # Errors
    /// Why its pattern is none.
    pub fn check(&self) -> Result<(), String> {
        if self.entries.len() > PATTERN_BYTES_MAX {
            return Err(format!("the pattern has {} bytes; allowed: at most {PATTERN_BYTES_MAX}", self.entries.len()));
        }
        globset::Glob::new(&self.entries).map(drop).map_err(|error| error.to_string())
    }

    fn is_about(&self, entry: &str) -> bool {
        // Whoever wrote the entry: what is no pattern matches nothing.
        self.check().is_ok()
            && globset::Glob::new(&self.entries).is_ok_and(|glob| glob.compile_matcher().is_match(entry))
    }
}

/// Subscriptions to a registry's entries, or all of them, in the order of their names; at most [`LISTED_MAX`].
///
/// # Errors
/// As the store.
pub async fn listed(store: &dyn Store, registry: Option<&str>) -> Result<Vec<Subscription>, StoreError> {
    // What is before the first part: the names of a registry's subscriptions begin with it.
    let prefix = registry.map(|registry| entry_name(registry, &[b""])).unwrap_or_default();
    let entries = store.entries(REGISTRY, Some(&prefix), LISTED_MAX).await?;
    let theirs = entries.into_iter().take_while(|entry| entry.entry.starts_with(&prefix));
    Ok(theirs.filter_map(|entry| serde_json::from_value(entry.data).ok()).collect())
}

/// Everybody who is to be told of this entry, sorted, at most [`TOLD_MAX`]; and how many there are beyond.
///
/// # Errors
/// As the store.
pub async fn told(
    store: &dyn Store,
    rules: &Rules,
    registry: &str,
    entry: &str,
) -> Result<(Vec<String>, usize), StoreError> {
    let mut told: BTreeSet<String> = rules.told(registry, entry).map(str::to_owned).collect();
    if let Some(all) = store.entry(REGISTRY, registry).await? {
        let subscribers = all.data["subscribers"].as_array().into_iter().flatten();
        told.extend(subscribers.filter_map(Value::as_str).map(str::to_owned));
    }
    let theirs = listed(store, Some(registry)).await?;
    told.extend(theirs.into_iter().filter(|theirs| theirs.is_about(entry)).map(|theirs| theirs.subscriber));
    let beyond = told.len().saturating_sub(TOLD_MAX);
    Ok((told.into_iter().take(TOLD_MAX).collect(), beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(entries: &str) -> Subscription {
        Subscription { registry: "parts".into(), entries: entries.into(), subscriber: "team-a".into() }
    }

    #[test]
    fn a_pattern_is_about_the_entries_that_it_matches() {
        for (pattern, entry, expected) in [
            ("wing-*", "wing-7", true),
            ("wing-*", "tail", false),
            ("*", "a/b#c", true),
            ("wing-?", "wing-77", false),
            ("{wing,tail}-*", "tail-1", true),
            ("[", "[", false),
        ] {
            assert_eq!(subscription(pattern).is_about(entry), expected, "{pattern} {entry}");
        }
        assert!(subscription(&"x".repeat(PATTERN_BYTES_MAX + 1)).check().is_err());
    }

    #[test]
    fn each_has_an_entry_of_its_own() {
        assert_eq!(subscription("wing-*").name(), "parts#wing-*#team-a");
        assert_ne!(
            subscription("a#b").name(),
            Subscription { subscriber: "b#team-a".into(), ..subscription("a") }.name()
        );
    }
}
