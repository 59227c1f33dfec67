//! File contents at a commit.

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use super::{GitError, Handle};

/// A file is binary if there is a NUL in this many first bytes: git's own rule.
const BINARY_LOOKAHEAD: usize = 8_000;

/// A symbolic link's target is a path; what is longer than this is none.
const SYMLINK_MAX: u64 = 64 * 1024;

/// What is at a path of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blob {
    /// Nothing, or a directory.
    Missing,
    /// Larger than the caller's limit; not read.
    TooLarge {
        size: u64,
    },
    Binary {
        size: u64,
    },
    /// Not necessarily UTF-8.
    Text(Vec<u8>),
    /// The link's target, as it is stored.
    Symlink(Vec<u8>),
    /// The commit of another repository.
    Submodule(ObjectId),
}

impl Handle {
    /// The content of `path` at `commit`, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`], [`GitError::Corrupt`].
    pub fn blob(&mut self, commit: ObjectId, path: &[u8], limit: usize) -> Result<Blob, GitError> {
        let Some((kind, id)) = self.entry(commit, path)? else { return Ok(Blob::Missing) };
        let is_link = match kind {
            EntryKind::Tree => return Ok(Blob::Missing),
            EntryKind::Commit => return Ok(Blob::Submodule(id)),
            EntryKind::Link => true,
            EntryKind::Blob | EntryKind::BlobExecutable => false,
        };
        let size = self.repository.find_header(id).map_err(|error| self.unreadable_object(id, &error))?.size();
        let limit = if is_link { SYMLINK_MAX } else { limit as u64 };
        if size > limit {
            return Ok(Blob::TooLarge { size });
        }
        let mut blob = self.repository.find_blob(id).map_err(|error| self.unreadable_object(id, &error))?;
        let data = blob.take_data();
        Ok(if is_link {
            Blob::Symlink(data)
        } else if data.iter().take(BINARY_LOOKAHEAD).any(|byte| *byte == 0) {
            Blob::Binary { size }
        } else {
            Blob::Text(data)
        })
    }

    /// Whether there is a file, link, submodule or directory at `path`. The empty path is the root, which exists.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`], [`GitError::Corrupt`].
    pub fn exists(&mut self, commit: ObjectId, path: &[u8]) -> Result<bool, GitError> {
        Ok(path.is_empty() || self.entry(commit, path)?.is_some())
    }

    fn entry(&mut self, commit: ObjectId, path: &[u8]) -> Result<Option<(EntryKind, ObjectId)>, GitError> {
        let Some(object) = self.repository.try_find_object(commit).map_err(|error| self.unreadable(&error))? else {
            return Err(self.unknown(commit));
        };
        let object = object.peel_to_kind(gix::objs::Kind::Commit).map_err(|error| self.unreadable(&error))?;
        let tree = object.try_into_commit().map_err(|error| self.unreadable(&error))?.tree();
        let tree = tree.map_err(|error| self.unreadable(&error))?;
        let parts = path.split(|byte| *byte == b'/');
        let entry = tree.lookup_entry(parts).map_err(|error| self.unreadable(&error))?;
        Ok(entry.map(|entry| (entry.mode().kind(), entry.object_id())))
    }
}
