//! Who is told when an entry changes. The configuration names some; the others are entries of the registry "subscriptions":
//! one for each pattern and subscriber, and, as it was before there were patterns, one under the registry's own name with
//! `{subscribers: […]}` for all of its entries, with `channels: […]` besides. Whoever is told may have a channel of notifications.
//!
//! As entries they have versions, a history and an audit trail like everything else.

use std::collections::BTreeSet;

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dependant, Rules, entry_name};
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
    /// Of notifications, that is told besides.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
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
        self.pattern().map(drop)
    }

    fn pattern(&self) -> Result<GlobMatcher, String> {
        if self.entries.len() > PATTERN_BYTES_MAX {
            return Err(format!("the pattern has {} bytes; allowed: at most {PATTERN_BYTES_MAX}", self.entries.len()));
        }
        Glob::new(&self.entries).map(|glob| glob.compile_matcher()).map_err(|error| error.to_string())
    }
}

/// Why data of an entry of [`REGISTRY`] would tell nobody; nothing of what is right.
pub(super) fn errors(data: &Value) -> Vec<String> {
    let list =
        |name: &str| data.get(name).map(|list| list.as_array().is_some_and(|all| all.iter().all(Value::is_string)));
    if data.get("subscriber").is_some() {
        let read = serde_json::from_value::<Subscription>(data.clone()).map_err(|error| error.to_string());
        return read.and_then(|theirs| theirs.check()).err().into_iter().collect();
    }
    let lists = ["subscribers", "channels"].map(list);
    if lists.contains(&Some(false)) || lists == [None, None] {
        return vec![
            "allowed: subscribers and channels, each a list of texts; or registry, entries and subscriber".to_owned(),
        ];
    }
    Vec::new()
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

/// Everybody who is told of changes in one registry, as it stood when they were asked for.
#[derive(Debug)]
pub struct Dependants {
    all: Vec<Dependant>,
    /// For whom the registry's own entry names no subscriber.
    channels: Vec<String>,
}

/// Whom to tell of one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Sorted, at most [`TOLD_MAX`].
    pub subscribers: Vec<String>,
    /// Of notifications; sorted, at most [`TOLD_MAX`].
    pub channels: Vec<String>,
    /// How many subscribers there are beyond.
    pub beyond: usize,
}

impl Told {
    #[must_use]
    pub const fn is_nobody(&self) -> bool {
        self.subscribers.is_empty() && self.channels.is_empty()
    }
}

impl Dependants {
    /// # Errors
    /// As the store.
    pub async fn of(store: &dyn Store, rules: &Rules, registry: &str) -> Result<Self, StoreError> {
        let mut all = rules.dependants(registry).to_vec();
        let own = store.entry(REGISTRY, registry).await?.map(|entry| entry.data).unwrap_or_default();
        let any = |subscriber| Subscription {
            registry: registry.to_owned(),
            entries: "*".to_owned(),
            subscriber,
            channel: None,
        };
        let theirs = texts(&own["subscribers"]).map(any).chain(listed(store, Some(registry)).await?);
        // Whoever wrote the entry: what is no pattern matches nothing.
        all.extend(theirs.filter_map(|theirs| {
            let entries = theirs.pattern().ok()?;
            Some(Dependant { entries, subscriber: theirs.subscriber, channel: theirs.channel })
        }));
        Ok(Self { all, channels: texts(&own["channels"]).collect() })
    }

    /// Everybody who is to be told of this entry.
    #[must_use]
    pub fn told(&self, entry: &str) -> Told {
        let theirs = || self.all.iter().filter(|dependant| dependant.entries.is_match(entry));
        let subscribers: BTreeSet<_> = theirs().map(|dependant| &dependant.subscriber).collect();
        let channels: BTreeSet<_> =
            theirs().filter_map(|dependant| dependant.channel.as_ref()).chain(&self.channels).collect();
        Told {
            beyond: subscribers.len().saturating_sub(TOLD_MAX),
            subscribers: subscribers.into_iter().take(TOLD_MAX).cloned().collect(),
            channels: channels.into_iter().take(TOLD_MAX).cloned().collect(),
        }
    }
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(entries: &str) -> Subscription {
        Subscription { registry: "parts".into(), entries: entries.into(), subscriber: "team-a".into(), channel: None }
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
            let is_about = subscription(pattern).pattern().is_ok_and(|pattern| pattern.is_match(entry));
            assert_eq!(is_about, expected, "{pattern} {entry}");
        }
        assert!(subscription(&"x".repeat(PATTERN_BYTES_MAX + 1)).check().is_err());
    }

    #[test]
    fn what_would_tell_nobody_is_refused() {
        for (data, expected) in [
            (r#"{"subscribers":["a"]}"#, true),
            (r#"{"channels":["chat"],"note":1}"#, true),
            (r#"{"registry":"parts","entries":"wing-*","subscriber":"a"}"#, true),
            (r#"{"registry":"parts","entries":"[","subscriber":"a"}"#, false),
            (r#"{"entries":"*","subscriber":"a"}"#, false),
            (r#"{"subscribers":"a"}"#, false),
            (r#"{"subscribers":[5]}"#, false),
            (r#"{"subscribers":["a"],"channels":"chat"}"#, false),
            ("{}", false),
        ] {
            let errors = errors(&serde_json::from_str(data).unwrap());
            assert_eq!(errors.is_empty(), expected, "{data}: {errors:?}");
        }
    }

    #[test]
    fn an_entry_of_before_there_were_channels_is_read() {
        let before = r#"{"registry":"parts","entries":"*","subscriber":"team-a"}"#;
        assert_eq!(serde_json::from_str::<Subscription>(before).unwrap(), subscription("*"));
        assert_eq!(serde_json::to_string(&subscription("*")).unwrap(), before);
    }

    #[test]
    fn whoever_is_told_is_so_once_and_so_is_each_channel() {
        let dependant = |pattern: &str, subscriber: &str, channel: Option<&str>| Dependant {
            entries: Glob::new(pattern).unwrap().compile_matcher(),
            subscriber: subscriber.to_owned(),
            channel: channel.map(str::to_owned),
        };
        let mut all = vec![
            dependant("wing-*", "wings", Some("chat")),
            dependant("wing-7", "wings", Some("mail")),
            dependant("*", "archive", None),
        ];
        all.extend((0..TOLD_MAX).map(|n| dependant("tail", &format!("tails-{n}"), Some("chat"))));
        let dependants = Dependants { all, channels: vec!["chat".to_owned()] };
        let told = dependants.told("wing-7");
        assert_eq!(
            (told.subscribers, told.channels),
            (vec!["archive".into(), "wings".into()], vec!["chat".into(), "mail".into()])
        );
        let told = dependants.told("tail");
        assert_eq!((told.subscribers.len(), told.channels, told.beyond), (TOLD_MAX, vec!["chat".to_owned()], 1));
        assert!(Dependants { all: Vec::new(), channels: Vec::new() }.told("tail").is_nobody());
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
