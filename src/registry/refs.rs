//! The registry of refs: where a repository's branches and tags point.

use serde::{Deserialize, Serialize};

use super::entry_name;
use crate::store::EntryChange;

/// The registry's name.
pub const REGISTRY: &str = "refs";

/// One branch or tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ref {
    pub repository_url: String,
    /// Full name, e.g. `refs/heads/main`.
    pub name: String,
    pub commit_sha: String,
    /// Where it pointed before.
    pub previous_sha: Option<String>,
    /// The last move left commits behind.
    pub forced: bool,
}

#[must_use]
pub fn put(reference: &Ref, utids: Option<String>) -> EntryChange {
    let data = serde_json::to_value(reference).expect("strings are JSON");
    change(&reference.repository_url, &reference.name, Some(data), utids)
}

/// Deletes the entry; its history stays.
#[must_use]
pub fn remove(repository_url: &str, name: &str, utids: Option<String>) -> EntryChange {
    change(repository_url, name, None, utids)
}

fn change(repository_url: &str, name: &str, data: Option<serde_json::Value>, utids: Option<String>) -> EntryChange {
    EntryChange::new(REGISTRY, entry_name(repository_url, &[name.as_bytes()]), data, utids)
}
