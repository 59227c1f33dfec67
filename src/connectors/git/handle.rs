//! One open repository on one thread: gix with its caches. Everything here blocks.
//!
//! Nothing of the user's or the system's configuration is read, and nothing is executed: no hooks, filters, diff drivers
//! or credential helpers.

use std::path::Path;

use gix::ObjectId;
use gix::diff::blob::Platform;
use gix::objs::FindExt as _;

use super::{GitError, RepositoryId, machine};

/// Decoded objects that a handle keeps, in bytes: successive commits share nearly all of their trees.
const OBJECT_CACHE_BYTES: usize = 2 * 1024 * 1024;

/// Buffers that a handle keeps between reads, and the largest of them, in bytes. gix keeps all: a handle that has read a large
/// object once would be as large ever after.
const BUFFERS_KEPT: usize = 4;
const BUFFER_KEPT_BYTES: usize = 1024 * 1024;

/// gix refuses to allocate more than this for one object; a larger one is reported as corrupt or too large.
const LARGEST_OBJECT: &str = "268435456";

/// Blobs above this size are never compared for renames.
const LARGEST_COMPARED_BLOB: &str = "4194304";

/// An open repository. `Send`, not `Sync`: one thread at a time.
pub struct Handle {
    pub(super) id: RepositoryId,
    pub(super) repository: gix::Repository,
    /// Reused by every tree comparison.
    pub(super) tree_state: gix::diff::tree::State,
    /// For comparing contents; made at the first possible rename.
    pub(super) contents: Option<Platform>,
    pub(super) buffer: Vec<u8>,
}

impl Handle {
    /// Opens the repository in `directory`.
    ///
    /// # Errors
    /// [`GitError::Missing`], [`GitError::Machine`] or [`GitError::Corrupt`].
    pub fn open(id: &RepositoryId, directory: &Path) -> Result<Self, GitError> {
        let mut repository = match gix::open_opts(directory, options()) {
            Ok(repository) => repository,
            Err(error) if error.is_corrupted() || machine::is_to_blame(&error) => return Err(unreadable(id, &error)),
            Err(error) => return Err(GitError::Missing { url: id.to_string(), detail: chain(&error) }),
        };
        repository.object_cache_size_if_unset(OBJECT_CACHE_BYTES);
        Ok(Self {
            id: id.clone(),
            repository,
            tree_state: gix::diff::tree::State::default(),
            contents: None,
            buffer: Vec::new(),
        })
    }

    /// Nobody reads for now: memory that only a large object needed is given back.
    pub(super) fn rest(&mut self) {
        let mut buffers = self.repository.set_freelist(None).unwrap_or_default();
        buffers.push(std::mem::take(&mut self.buffer));
        buffers.retain(|buffer| (1..=BUFFER_KEPT_BYTES).contains(&buffer.capacity()));
        buffers.truncate(BUFFERS_KEPT);
        self.repository.set_freelist(Some(buffers));
    }

    /// Whether what was opened is still there: a directory can be removed and made anew under an open handle.
    pub(super) fn is_current(&self) -> bool {
        self.repository.common_dir().join("HEAD").is_file() || self.repository.git_dir().join("HEAD").is_file()
    }

    /// # Errors
    /// [`GitError::Shallow`].
    pub(super) fn refuse_shallow(&self) -> Result<(), GitError> {
        if self.repository.is_shallow().map_err(|error| self.unreadable(&error))? {
            return Err(GitError::Shallow { url: self.id.to_string() });
        }
        Ok(())
    }

    /// Parents of a commit, in their order; `None` if there is no such object.
    ///
    /// # Errors
    /// [`GitError::Corrupt`], also where the object is not a commit.
    pub(super) fn parents(&mut self, commit: ObjectId) -> Result<Option<Vec<ObjectId>>, GitError> {
        match self.repository.objects.find_commit_iter(&commit, &mut self.buffer) {
            Ok(commit) => Ok(Some(commit.parent_ids().collect())),
            Err(error) => {
                let error = self.unreadable(&error);
                // Where the machine is to blame it cannot say whether there is the object either.
                let exists = matches!(error, GitError::Machine { .. }) || self.repository.has_object(commit);
                if exists { Err(error) } else { Ok(None) }
            }
        }
    }

    /// [`GitError::Machine`] or [`GitError::Corrupt`]: whose fault it is that something cannot be read.
    pub(super) fn unreadable(&self, error: &(dyn std::error::Error + 'static)) -> GitError {
        unreadable(&self.id, error)
    }

    /// Of an object that was to be there: as [`Self::unreadable`], and the machine's fault too where it does not let us look
    /// for the file, which gix takes for a file that is not there.
    pub(super) fn unreadable_object(&self, id: ObjectId, error: &(dyn std::error::Error + 'static)) -> GitError {
        self.hindrance(id).unwrap_or_else(|| self.unreadable(error))
    }

    /// There is no such commit, unless we were kept from looking.
    pub(super) fn unknown(&self, commit: ObjectId) -> GitError {
        let unknown = || GitError::UnknownCommit { url: self.id.to_string(), sha: commit.to_string() };
        self.hindrance(commit).unwrap_or_else(unknown)
    }

    /// What keeps us from knowing whether there is the object.
    fn hindrance(&self, id: ObjectId) -> Option<GitError> {
        if !self.is_current() {
            let detail = "it is no longer where it was opened".to_owned();
            return Some(GitError::Missing { url: self.id.to_string(), detail });
        }
        let objects = self.repository.objects.store_ref().path();
        let name = id.to_string();
        let looked = std::fs::metadata(objects.join(&name[..2]).join(&name[2..])).map(drop);
        let looked = looked.or_else(|error| if machine::is_to_blame(&error) { Err(error) } else { Ok(()) });
        let looked = looked.and_then(|()| match std::fs::read_dir(objects.join("pack")) {
            Err(error) if machine::is_to_blame(&error) => Err(error),
            _ => Ok(()),
        });
        looked.err().map(|error| self.unreadable(&error))
    }
}

/// How every repository is opened, mirrors too.
pub(super) fn options() -> gix::open::Options {
    gix::open::Options::isolated().config_overrides([
        format!("gitoxide.objects.allocLimit={LARGEST_OBJECT}"),
        format!("core.bigFileThreshold={LARGEST_COMPARED_BLOB}"),
        // A replacement would give a commit other content than its id says.
        "gitoxide.objects.noReplace=true".to_owned(),
    ])
}

pub(super) fn unreadable(id: &RepositoryId, error: &(dyn std::error::Error + 'static)) -> GitError {
    let (url, detail) = (id.to_string(), chain(error));
    if machine::is_to_blame(error) { GitError::Machine { url, detail } } else { GitError::Corrupt { url, detail } }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !message.is_empty() && !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
