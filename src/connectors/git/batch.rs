//! What one transaction publishes: events of a repository and the offsets that cover them.

use std::collections::BTreeMap;

use gix::ObjectId;
use serde_json::Value;

use super::commit::{Commit, Signature};

/// A commit's event lists at most this many changed files and this many bytes of their paths, as they are encoded; the flag
/// says that there are more, and a handler reads them from the repository.
pub(super) const FILES_LISTED_MAX: usize = 2_000;
pub(super) const FILES_LISTED_BYTES_MAX: usize = 256 * 1024;

/// What an event takes on the wire besides texts and paths: ids, headers, framing.
const EVENT_BYTES: usize = 600;

/// What a listed file takes besides its paths, at most: enums, and the lengths and markers of what may be absent.
const FILE_BYTES: usize = 24;

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
            bytes += FILE_BYTES + encoded_bytes(&file.path) + file.old_path.as_deref().map_or(0, encoded_bytes);
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

/// What a path takes in an event: where it is not UTF-8, its readable form, which may be three times as long, and its bytes.
fn encoded_bytes(path: &[u8]) -> usize {
    match std::str::from_utf8(path) {
        Ok(text) => text.len(),
        Err(_) => path.len() + String::from_utf8_lossy(path).len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChangeStatus, ChangedFile, EntryType};
    use super::*;

    fn listed(name: impl Fn(usize) -> Vec<u8>, files: usize) -> (usize, bool) {
        let file = |n| {
            let (status, kind) = (ChangeStatus::Renamed, EntryType::File);
            ChangedFile { path: name(n), status, kind, old_path: Some(name(n)) }
        };
        let commit = Commit {
            sha: ObjectId::null(gix::hash::Kind::Sha1),
            parents: Vec::new(),
            author: Signature::default(),
            committer: Signature::default(),
            message: String::new(),
            changed_files: (0..files).map(file).collect(),
        };
        let mut batch = Batch::new(Limits::default());
        batch.commit("main", commit);
        let Some(Change::Commit { commit, files_truncated, .. }) = batch.changes.pop() else { panic!("no commit") };
        (commit.changed_files.len(), files_truncated)
    }

    #[test]
    fn paths_count_as_they_are_encoded() {
        let plain = |n: usize| format!("{n:0100}").into_bytes();
        assert_eq!(listed(plain, 1_000), (1_000, false));
        // Each byte is one of the path and three of its readable form.
        let odd = |n: usize| [n.to_be_bytes().to_vec(), vec![0xff; 100]].concat();
        let (count, truncated) = listed(odd, 1_000);
        assert!(truncated && (250..350).contains(&count), "{count}");
        assert_eq!(listed(|_| vec![b'x'; FILES_LISTED_BYTES_MAX], 1), (0, true));
    }
}
