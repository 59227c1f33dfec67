//! The registry of documents: one entry for each tracked file of a branch of a repository.

use serde::{Deserialize, Serialize};

use super::entry_name;
use crate::store::EntryChange;

/// The registry's name.
pub const REGISTRY: &str = "documents";

/// What is known of one file as of its last commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub repository_url: String,
    /// Bytes that are not UTF-8 are replaced; the entry's name has all.
    pub path: String,
    pub title: Option<String>,
    /// `markdown`, `yaml_config` or `json_data`; `unknown` of a specification.
    pub file_type: String,
    pub valid: bool,
    pub errors: Vec<String>,
    pub branch: String,
    pub commit_sha: String,
    /// Where the generated page is in the artifact store.
    pub artifact_path: Option<String>,
    /// Its SHA-256, hexadecimal.
    pub artifact_sha256: Option<String>,
    /// Where the file was before its last commit moved it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub moved_from: Option<String>,
}

/// Writes the entry of `path` (its bytes, of which `document.path` is the readable form).
#[must_use]
pub fn put(path: &[u8], document: &Document, utids: Option<String>) -> EntryChange {
    let data = serde_json::to_value(document).expect("strings and lists are JSON");
    change(&document.repository_url, &document.branch, path, Some(data), utids)
}

/// Deletes the entry of `path` on `branch`; its history stays.
#[must_use]
pub fn remove(repository_url: &str, branch: &str, path: &[u8], utids: Option<String>) -> EntryChange {
    change(repository_url, branch, path, None, utids)
}

/// What a branch has is its own: a file that is deleted on one is still there on the others.
fn change(
    repository_url: &str,
    branch: &str,
    path: &[u8],
    data: Option<serde_json::Value>,
    utids: Option<String>,
) -> EntryChange {
    EntryChange::new(REGISTRY, entry_name(repository_url, &[branch.as_bytes(), path]), data, utids)
}
