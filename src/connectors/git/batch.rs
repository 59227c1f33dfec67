//! What one transaction publishes: events of a repository and the offsets that cover them.

use std::collections::BTreeMap;

use gix::ObjectId;
use serde_json::Value;

use super::commit::{Commit, Signature};

/// A commit's event lists at most this many changed files and this many bytes of their paths; the flag says that there
/// are more, and a handler reads them from the repository.
pub(super) const FILES_LISTED_MAX: usize = 2_000;
pub(super) const FILES_LISTED_BYTES_MAX: usize = 256 * 1024;

/// What an event takes on the wire besides texts and paths: ids, headers, framing.
const EVENT_BYTES: usize = 600;

/// Where a batch ends, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub events: usize,
    /// Of payloads, about.
    pub bytes: usize,
    /// Commits looked at, those included that the path patterns leave out.
    pub walked: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 1_000, bytes: 4 * 1024 * 1024, walked: 20_000 }
    }
}

/// A discovered fact, before it is an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `files_truncated`: the commit changed more files than are listed.
    Commit {
        branch: String,
        commit: Commit,
        files_truncated: bool,
    },
    /// `after` is `None` for a deleted branch, `before` for a new one.
    Push {
        branch: String,
        before: Option<ObjectId>,
        after: Option<ObjectId>,
        forced: bool,
        commits: u64,
        at_ms: i64,
    },
    Tag {
        tag: String,
        before: Option<ObjectId>,
        after: Option<TagTarget>,
    },
}

/// What a tag points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTarget {
    /// What the ref names: the tag object of an annotated tag, else as `target`.
    pub object: ObjectId,
    /// What it points to in the end; a commit, nearly always.
    pub target: ObjectId,
    /// Of an annotated tag.
    pub annotation: Option<Annotation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub tagger: Option<Signature>,
    pub message: String,
}

/// Filled by a session until it is full.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub changes: Vec<Change>,
    /// New offset per part; `None` removes it.
    pub offsets: BTreeMap<String, Option<Value>>,
    /// Commits that were dealt with.
    pub walked: usize,
    /// Commits that the current walk still has.
    pub remaining: usize,
    bytes: usize,
    limits: Limits,
}

impl Batch {
    pub(super) fn new(limits: Limits) -> Self {
        Self { changes: Vec::new(), offsets: BTreeMap::new(), walked: 0, remaining: 0, bytes: 0, limits }
    }

    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= self.limits.events || self.bytes >= self.limits.bytes || self.walked >= self.limits.walked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.offsets.is_empty()
    }

    pub(super) fn commit(&mut self, branch: &str, mut commit: Commit) {
        let mut bytes = 0;
        let listed = commit.changed_files.iter().take(FILES_LISTED_MAX).take_while(|file| {
            bytes += file.path.len() + file.old_path.as_ref().map_or(0, Vec::len);
            bytes <= FILES_LISTED_BYTES_MAX
        });
        let listed = listed.count();
        let files_truncated = listed < commit.changed_files.len();
        commit.changed_files.truncate(listed);
        self.bytes += EVENT_BYTES + commit.message.len() + bytes.min(FILES_LISTED_BYTES_MAX);
        self.changes.push(Change::Commit { branch: branch.to_owned(), commit, files_truncated });
    }

    pub(super) fn push(&mut self, change: Change) {
        self.bytes += EVENT_BYTES;
        self.changes.push(change);
    }
}
