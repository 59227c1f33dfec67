//! What a commit changed, against its first parent; a root commit against the empty tree.

use std::ops::ControlFlow;

use gix::bstr::{BStr, BString};
use gix::diff::tree::visit;
use gix::diff::tree_with_rewrites::ChangeRef;
use gix::objs::TreeRefIter;
use gix::objs::tree::{EntryKind, EntryMode};
use gix::{ObjectId, diff};

use super::{GitError, Handle};

/// At most this many additions and deletions of one commit are compared with each other by content; above it, only
/// files that moved unchanged are found to be renames. 200 × 200 comparisons take a second or two.
const COMPARED_FILES: usize = 200;

/// More changed files than this in one commit are an error (it would take hundreds of megabytes to list them).
pub(super) const CHANGED_FILES_MAX: usize = 1_000_000;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeStatus {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// The same path, another kind (a file became a symbolic link).
    TypeChanged,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryType {
    File,
    Executable,
    Symlink,
    Submodule,
}

/// One changed file. Paths are bytes, as git has them, with `/` between their parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangedFile {
    pub path: Vec<u8>,
    pub status: ChangeStatus,
    /// Of a deleted file: what it was.
    pub kind: EntryType,
    /// Where a renamed file was before.
    pub old_path: Option<Vec<u8>>,
}

impl Handle {
    /// Changed files of `commit`, in order of their paths.
    ///
    /// # Errors
    /// [`GitError::UnknownCommit`], [`GitError::Corrupt`], [`GitError::TooMany`].
    pub fn changed_files(&mut self, commit: ObjectId) -> Result<Vec<ChangedFile>, GitError> {
        let parents = self.parents(commit)?.ok_or_else(|| self.unknown(commit))?;
        let new = self.tree(commit)?;
        let old = parents.first().map(|parent| self.tree(*parent)).transpose()?.unwrap_or_default();
        self.compare(&old, &new)
    }

    /// The encoded root tree of a commit.
    pub(super) fn tree(&self, commit: ObjectId) -> Result<Vec<u8>, GitError> {
        let object = self.repository.find_object(commit).map_err(|error| self.unreadable_object(commit, &error))?;
        let commit = object.try_into_commit().map_err(|error| self.unreadable(&error))?;
        Ok(commit.tree().map_err(|error| self.unreadable(&error))?.take_data())
    }

    /// The changes between two encoded root trees.
    pub(super) fn compare(&mut self, old: &[u8], new: &[u8]) -> Result<Vec<ChangedFile>, GitError> {
        let mut plain = Plain::default();
        let (old, new) = (iter(old), iter(new));
        let compared = diff::tree(old, new, &mut self.tree_state, &self.repository.objects, &mut plain);
        match compared {
            Ok(()) => {}
            Err(diff::tree::Error::Cancelled) => {
                return Err(GitError::TooMany {
                    url: self.id.to_string(),
                    what: "changed files in one commit",
                    limit: CHANGED_FILES_MAX,
                });
            }
            Err(error) => return Err(self.unreadable(&error)),
        }
        // Most commits only modify files. A rename needs both an addition and a deletion.
        let mut files = if plain.added && plain.deleted { self.with_renames(old, new)? } else { plain.files };
        files.sort_unstable();
        Ok(files)
    }

    fn with_renames(&mut self, old: TreeRefIter<'_>, new: TreeRefIter<'_>) -> Result<Vec<ChangedFile>, GitError> {
        let mut contents = match self.contents.take() {
            Some(contents) => contents,
            None => self.repository.diff_resource_cache_for_tree_diff().map_err(|error| self.unreadable(&error))?,
        };
        let mut files = Vec::new();
        let outcome = diff::tree_with_rewrites(
            old,
            new,
            &mut contents,
            &mut self.tree_state,
            &self.repository.objects,
            |change| {
                files.extend(changed_file(change));
                Ok(ControlFlow::Continue(()))
            },
            diff::tree_with_rewrites::Options {
                location: Some(diff::tree::recorder::Location::Path),
                rewrites: Some(diff::Rewrites { limit: COMPARED_FILES, ..diff::Rewrites::default() }),
            },
        );
        contents.clear_resource_cache();
        self.contents = Some(contents);
        outcome.map_err(|error| self.unreadable(&error))?;
        Ok(files)
    }
}

fn iter(tree: &[u8]) -> TreeRefIter<'_> {
    TreeRefIter::from_bytes(tree, gix::hash::Kind::Sha1)
}

fn changed_file(change: ChangeRef<'_>) -> Option<ChangedFile> {
    let file = |path: &BStr, status, kind, old_path: Option<&BStr>| ChangedFile {
        path: path.to_vec(),
        status,
        kind,
        old_path: old_path.map(|path| path.to_vec()),
    };
    match change {
        ChangeRef::Addition { location, entry_mode, .. } => {
            Some(file(location, ChangeStatus::Added, entry_type(entry_mode)?, None))
        }
        ChangeRef::Deletion { location, entry_mode, .. } => {
            Some(file(location, ChangeStatus::Deleted, entry_type(entry_mode)?, None))
        }
        ChangeRef::Modification { location, previous_entry_mode, entry_mode, .. } => {
            let kind = entry_type(entry_mode)?;
            Some(file(location, modified(previous_entry_mode, kind), kind, None))
        }
        ChangeRef::Rewrite { source_location, entry_mode, location, .. } => {
            Some(file(location, ChangeStatus::Renamed, entry_type(entry_mode)?, Some(source_location)))
        }
    }
}

fn modified(previous: EntryMode, kind: EntryType) -> ChangeStatus {
    let is_file = |kind| matches!(kind, EntryType::File | EntryType::Executable);
    match entry_type(previous) {
        Some(previous) if previous == kind || is_file(previous) && is_file(kind) => ChangeStatus::Modified,
        _ => ChangeStatus::TypeChanged,
    }
}

/// `None` for a directory: git tracks files.
pub(super) fn entry_type(mode: EntryMode) -> Option<EntryType> {
    match mode.kind() {
        EntryKind::Tree => None,
        EntryKind::Blob => Some(EntryType::File),
        EntryKind::BlobExecutable => Some(EntryType::Executable),
        EntryKind::Link => Some(EntryType::Symlink),
        EntryKind::Commit => Some(EntryType::Submodule),
    }
}

/// Collects changes without looking for renames, which is all that most commits need.
#[derive(Default)]
struct Plain {
    path: BString,
    waiting: std::collections::VecDeque<BString>,
    files: Vec<ChangedFile>,
    added: bool,
    deleted: bool,
}

impl Plain {
    fn push(&mut self, name: &BStr) {
        if !name.is_empty() {
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
        }
    }
}

impl diff::tree::Visit for Plain {
    fn pop_front_tracked_path_and_set_current(&mut self) {
        self.path = self.waiting.pop_front().expect("gix announces every directory before it enters it");
    }

    fn push_back_tracked_path_component(&mut self, component: &BStr) {
        self.push(component);
        self.waiting.push_back(self.path.clone());
    }

    fn push_path_component(&mut self, component: &BStr) {
        self.push(component);
    }

    fn pop_path_component(&mut self) {
        let end = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.path.truncate(end);
    }

    fn visit(&mut self, change: visit::Change) -> visit::Action {
        let (status, kind) = match change {
            visit::Change::Addition { entry_mode, .. } => (ChangeStatus::Added, entry_type(entry_mode)),
            visit::Change::Deletion { entry_mode, .. } => (ChangeStatus::Deleted, entry_type(entry_mode)),
            visit::Change::Modification { previous_entry_mode, entry_mode, .. } => {
                let kind = entry_type(entry_mode);
                (kind.map_or(ChangeStatus::Modified, |kind| modified(previous_entry_mode, kind)), kind)
            }
        };
        let Some(kind) = kind else { return ControlFlow::Continue(()) };
        self.added |= status == ChangeStatus::Added;
        self.deleted |= status == ChangeStatus::Deleted;
        if self.files.len() == CHANGED_FILES_MAX {
            return ControlFlow::Break(());
        }
        self.files.push(ChangedFile { path: self.path.to_vec(), status, kind, old_path: None });
        ControlFlow::Continue(())
    }
}
