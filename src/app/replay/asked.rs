//! What a replay's name stands for: kept with the replay's group, so that the same name goes on with the same replay and no
//! other.
//!
//! It is the metadata of an offset that the group commits in partition 0 of the audit records. No replay is assigned that
//! partition, so no offset map ever takes its place, and it lives as long as the group's positions do.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::runtime::unix_ms;

/// Bytes of one value as it is kept; all of them together are to fit into an offset's metadata.
const MAX_KEPT_BYTES: usize = 300;
/// Characters of a longer one, to know it by: its hash is what is compared.
const SHOWN_CHARS: usize = 40;

/// What was asked for, as far as another answer would make it another replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// When the name was first used, in milliseconds since the Unix epoch. Bounds such as `2h` are counted from here.
    pub begun_ms: i64,
    /// Values by option; of those that were given.
    options: BTreeMap<String, String>,
}

/// An option whose value is not that with which the name was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub option: String,
    pub kept: Option<String>,
    pub asked: Option<String>,
}

impl Asked {
    /// Values by option; those that were not given are empty. The order of an option's values means nothing.
    #[must_use]
    pub fn now<const N: usize>(options: [(&str, Vec<String>); N]) -> Self {
        let given = options.into_iter().filter(|(_, values)| !values.is_empty());
        let options = given.map(|(option, values)| (option.to_owned(), one(values))).collect();
        Self { begun_ms: unix_ms(), options }
    }

    /// In what this differs from what the name was begun with.
    #[must_use]
    pub fn others(&self, kept: &Self) -> Vec<Other> {
        let mut options: Vec<&String> = kept.options.keys().chain(self.options.keys()).collect();
        options.sort();
        options.dedup();
        let differs = |option: &&String| kept.options.get(*option) != self.options.get(*option);
        let of = |option: &String| Other {
            option: option.clone(),
            kept: kept.options.get(option).cloned(),
            asked: self.options.get(option).cloned(),
        };
        options.into_iter().filter(differs).map(of).collect()
    }

    /// As it is kept.
    #[must_use]
    pub fn metadata(&self) -> String {
        serde_json::to_string(self).expect("text in, text out")
    }

    /// What is kept; `None` if the offset has no metadata.
    ///
    /// # Errors
    /// The metadata is not of a replay.
    pub fn read(metadata: &str) -> anyhow::Result<Option<Self>> {
        if metadata.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(metadata).map(Some).with_context(|| format!("{metadata:?} is not of a replay"))
    }
}

/// The values of an option as one, no longer than may be.
fn one(mut values: Vec<String>) -> String {
    values.sort();
    values.dedup();
    let text = match &values[..] {
        [value] => value.clone(),
        values => serde_json::to_string(values).expect("text in, text out"),
    };
    let written = serde_json::to_string(&text).expect("text in, text out").len();
    if written <= MAX_KEPT_BYTES {
        return text;
    }
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{shown}… ({} bytes, {:016x})", text.len(), xxh3_64(text.as_bytes()))
}

impl std::fmt::Display for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { option, kept, asked } = self;
        match (kept, asked) {
            (Some(kept), Some(asked)) => write!(f, "{option} was {kept}, and is {asked}"),
            (Some(kept), None) => write!(f, "{option} was {kept}, and is not given"),
            (None, asked) => write!(f, "{option} was not given, and is {}", asked.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::offset_map::MAX_METADATA_BYTES;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn asked(topics: &[&str], from: &str, keys: &[&str]) -> Asked {
        Asked::now([("--topic", texts(topics)), ("--from", texts(&[from])), ("--key", texts(keys))])
    }

    #[test]
    fn another_value_is_named_and_another_order_is_the_same() {
        let kept = Asked::read(&asked(&["a", "b"], "2h ago", &[]).metadata()).unwrap().unwrap();
        assert_eq!(asked(&["b", "a"], "2h ago", &[]).others(&kept), []);
        let said: Vec<_> = asked(&["a"], "2h ago", &["k"]).others(&kept).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["--key was not given, and is k", r#"--topic was ["a","b"], and is a"#]);
        let [gone] = &kept.others(&asked(&["a", "b"], "2h ago", &["k"]))[..] else { panic!() };
        assert_eq!(gone.to_string(), "--key was k, and is not given");
    }

    #[test]
    fn however_long_it_fits_and_is_told_apart() {
        let long = |last: &str| "\u{1}\"".repeat(3_000) + last;
        let of =
            |text: &str| Asked::now(["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|o| (o, vec![text.to_owned()])));
        let (one, other) = (of(&long("1")), of(&long("2")));
        assert!(one.metadata().len() <= MAX_METADATA_BYTES, "{}", one.metadata().len());
        assert_eq!(one.others(&other).len(), 9);
    }

    #[test]
    fn what_is_not_ours_is_not_taken_for_it() {
        assert_eq!(Asked::read("").unwrap(), None);
        assert!(Asked::read("somebody's").is_err());
    }
}
