//! A commit's own text: who, when, what was said. Bounded, because it goes into an event.

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use super::{ChangedFile, GitError, Handle};

/// A longer message is cut, with `…` at its end.
pub(super) const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// A longer name or address is cut.
pub(super) const NAME_MAX_BYTES: usize = 1024;

/// An octopus with more parents than this is listed with its first ones.
pub(super) const PARENTS_MAX: usize = 1_000;

/// A discovered commit, as data; `events` makes events of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub sha: ObjectId,
    pub parents: Vec<ObjectId>,
    pub author: Signature,
    pub committer: Signature,
    /// Bytes that are not UTF-8 are replaced.
    pub message: String,
    /// All changed files against the first parent.
    pub changed_files: Vec<ChangedFile>,
}

/// Who and when; a nonsensical time is the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    pub name: String,
    pub email: String,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
}

impl Handle {
    /// Reads a commit and compares it with its first parent.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`], [`GitError::Corrupt`], [`GitError::TooMany`].
    pub fn commit(&mut self, sha: ObjectId) -> Result<Commit, GitError> {
        let (mut commit, tree) = self.details(sha)?;
        let repository = &self.repository;
        let new = repository.find_tree(tree).map_err(|error| self.unreadable_object(tree, &error))?.take_data();
        let old = commit.parents.first().map(|parent| self.tree(*parent)).transpose()?.unwrap_or_default();
        commit.parents.truncate(PARENTS_MAX);
        commit.changed_files = self.compare(&old, &new)?;
        Ok(commit)
    }

    /// Everything but the changed files, and the id of the tree.
    fn details(&self, sha: ObjectId) -> Result<(Commit, ObjectId), GitError> {
        let Some(object) = self.repository.try_find_object(sha).map_err(|error| self.unreadable(&error))? else {
            return Err(self.unknown(sha));
        };
        let object = object.try_into_commit().map_err(|error| self.unreadable(&error))?;
        let decoded = object.decode().map_err(|error| self.unreadable(&error))?;
        let commit = Commit {
            sha,
            parents: decoded.parents().collect(),
            author: signature(decoded.author().ok()),
            committer: signature(decoded.committer().ok()),
            message: text(decoded.message, MESSAGE_MAX_BYTES),
            changed_files: Vec::new(),
        };
        Ok((commit, decoded.tree()))
    }
}

pub(super) fn signature(from: Option<gix::actor::SignatureRef<'_>>) -> Signature {
    let Some(from) = from else { return Signature::default() };
    Signature {
        name: text(from.name, NAME_MAX_BYTES),
        email: text(from.email, NAME_MAX_BYTES),
        time_ms: from.time().map_or(0, |time| time.seconds.saturating_mul(1000)),
    }
}

/// At most `max_bytes` of `bytes`, as text.
pub(super) fn text(bytes: &BStr, max_bytes: usize) -> String {
    let cut = bytes.len() > max_bytes;
    let mut text = bytes[..bytes.len().min(max_bytes)].to_str_lossy().into_owned();
    if cut {
        text.push('…');
    }
    text
}
