//! How far a repository is published: what stands in `coafi.connect.offsets`.
//!
//! One offset per part: `repository` (the first start was decided), `refs/heads/<branch>`, `refs/tags/<tag>`. Each is
//! versioned JSON, written in the transaction of the events that it covers.
//!
//! # A branch's cursor
//! `published` are tips whose whole ancestry is published (or lies before the start); none reaches another. While the
//! commits of a new tip are being published, `walk` holds the exact question, `target` and `hidden`, and how many of its
//! answer are done. The answer's order is a function of the question (see `graph`), so it is computed again after a crash
//! and continued after its first `done` commits; `last` is the sha of the last one and proves that both agree. Whatever
//! happens to other branches meanwhile does not matter, because the question does not refer to them by name.
//!
//! A forced push keeps the old tips in `published`, so that commits which come back later are not repeated; a deleted
//! branch keeps its state for the same reason. Both are bounded ([`KNOWN_TIPS_MAX`], [`DELETED_BRANCHES_MAX`]); past the
//! bounds a commit may be published again under its old id, which consumers know as a duplicate.

use std::collections::BTreeMap;

use gix::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Old tips that a branch remembers through forced pushes.
pub(super) const KNOWN_TIPS_MAX: usize = 32;

/// Deleted branches that a repository remembers; the longest-deleted are forgotten first.
pub(super) const DELETED_BRANCHES_MAX: usize = 1_000;

pub(super) const REPOSITORY_PART: &str = "repository";
pub(super) const BRANCH_PREFIX: &str = "refs/heads/";
pub(super) const TAG_PREFIX: &str = "refs/tags/";

const VERSION: u32 = 1;

/// An object id that is hexadecimal text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(pub ObjectId);

impl TryFrom<String> for Sha {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        ObjectId::from_hex(text.as_bytes()).map(Self).map_err(|_| format!("{text:?} is not an object id"))
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> Self {
        sha.0.to_string()
    }
}

/// Everything that is known of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryState {
    /// Whether the first start was decided: branches and tags that appear later are new.
    pub started: Option<Started>,
    pub branches: BTreeMap<String, BranchState>,
    pub tags: BTreeMap<String, TagState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The configuration at that time, for people.
    pub start: String,
    #[serde(rename = "atMs")]
    pub at_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchState {
    /// Oldest first.
    pub published: Vec<Sha>,
    /// Where the branch was last seen with all its commits published; `None` before that and while it is deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tip: Option<Sha>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub walk: Option<WalkState>,
    #[serde(rename = "deletedAtMs", skip_serializing_if = "Option::is_none", default)]
    pub deleted_at_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkState {
    pub target: Sha,
    /// Whose ancestry is not published by this walk. `None` until it begins: then it is what is known at that time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hidden: Option<Vec<Sha>>,
    /// Commits that are dealt with, in the walk's order: published, or left out by the path patterns.
    pub done: u64,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Sha>,
    /// The `git.push` that follows the commits; `None` at the first start, which saw no push.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub push: Option<PushState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushState {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Sha>,
    pub forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagState {
    /// What the tag points to directly: a tag object, or a commit.
    pub object: Sha,
}

/// An offset that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("source offset of {part:?} cannot be read: {reason}; allowed: version {VERSION}")]
pub struct UnreadableOffset {
    pub part: String,
    pub reason: String,
}

impl RepositoryState {
    /// # Errors
    /// [`UnreadableOffset`]: going on without it would repeat or skip.
    pub fn from_parts(parts: &BTreeMap<String, Value>) -> Result<Self, UnreadableOffset> {
        let mut state = Self::default();
        for (part, value) in parts {
            if part == REPOSITORY_PART {
                state.started = Some(decode(part, value)?);
            } else if let Some(branch) = part.strip_prefix(BRANCH_PREFIX) {
                state.branches.insert(branch.to_owned(), decode(part, value)?);
            } else if let Some(tag) = part.strip_prefix(TAG_PREFIX) {
                state.tags.insert(tag.to_owned(), decode(part, value)?);
            }
        }
        Ok(state)
    }

    /// The offset of a part as it is now; `None` where there is nothing to remember (a tombstone).
    #[must_use]
    pub fn part(&self, part: &str) -> Option<Value> {
        if part == REPOSITORY_PART {
            self.started.as_ref().map(encode)
        } else if let Some(branch) = part.strip_prefix(BRANCH_PREFIX) {
            self.branches.get(branch).map(encode)
        } else {
            self.tags.get(part.strip_prefix(TAG_PREFIX)?).map(encode)
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str, value: &Value) -> Result<T, UnreadableOffset> {
    let unreadable = |reason: String| UnreadableOffset { part: part.to_owned(), reason };
    match value.get("v").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        other => return Err(unreadable(format!("its version is {other:?}"))),
    }
    serde_json::from_value(value.clone()).map_err(|error| unreadable(error.to_string()))
}

fn encode<T: Serialize>(state: &T) -> Value {
    let mut value = serde_json::to_value(state).expect("plain structs with string keys always serialise");
    value["v"] = VERSION.into();
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(byte: u8) -> Sha {
        Sha(ObjectId::from_bytes_or_panic(&[byte; 20]))
    }

    #[test]
    fn parts_come_back_as_they_went_in() {
        let walk = WalkState {
            target: sha(1),
            hidden: Some(vec![sha(2)]),
            done: 7,
            last: Some(sha(3)),
            push: Some(PushState { before: None, forced: true }),
        };
        let state = RepositoryState {
            started: Some(Started { start: "history".into(), at_ms: 5 }),
            branches: [("a/b".into(), BranchState { walk: Some(walk), ..BranchState::default() })].into(),
            tags: [("v1".into(), TagState { object: sha(4) })].into(),
        };
        let parts = ["repository", "refs/heads/a/b", "refs/tags/v1"];
        let parts = parts.map(|part| (part.to_owned(), state.part(part).unwrap())).into();
        assert_eq!(RepositoryState::from_parts(&parts).unwrap(), state);
        assert_eq!(state.part("refs/heads/gone"), None);
    }

    /// One directory of tests/golden/formats per version, oldest first.
    const VERSIONS: [&str; 1] = [include_str!("../../../tests/golden/formats/0.1.0/git_offsets.json")];

    #[test]
    fn offsets_of_every_version_are_read_to_the_same_value_and_the_last_one_reads_todays() {
        let branch = |published: &[u8]| BranchState {
            published: published.iter().copied().map(sha).collect(),
            ..BranchState::default()
        };
        let walk = WalkState {
            target: sha(1),
            hidden: Some(vec![sha(2)]),
            done: 7,
            last: Some(sha(3)),
            push: Some(PushState { before: None, forced: true }),
        };
        let branches = [
            ("a/b", BranchState { walk: Some(walk), ..branch(&[5]) }),
            ("gone", BranchState { deleted_at_ms: Some(9), ..branch(&[5, 6]) }),
            ("main", BranchState { tip: Some(sha(5)), ..branch(&[5]) }),
        ];
        let state = RepositoryState {
            started: Some(Started { start: "history".into(), at_ms: 5 }),
            branches: branches.map(|(name, branch)| (name.to_owned(), branch)).into(),
            tags: [("v1".into(), TagState { object: sha(4) })].into(),
        };
        for version in VERSIONS {
            assert_eq!(RepositoryState::from_parts(&serde_json::from_str(version).unwrap()).unwrap(), state);
        }
        let last: BTreeMap<String, Value> = serde_json::from_str(VERSIONS[VERSIONS.len() - 1]).unwrap();
        for (part, value) in last {
            assert_eq!(state.part(&part), Some(value), "{part}: a member that is new is for the next version to write");
        }
    }

    #[test]
    fn a_newer_version_is_refused_and_named() {
        let parts = [("refs/tags/v1".to_owned(), serde_json::json!({"v": 2, "object": "00"}))].into();
        let error = RepositoryState::from_parts(&parts).unwrap_err().to_string();
        assert!(error.contains("refs/tags/v1") && error.contains("version 1"), "{error}");
    }
}
