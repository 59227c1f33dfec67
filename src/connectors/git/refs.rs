//! Branches and tags as they are right now.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use super::{GitError, Handle};

/// More branches or tags than this in one repository are an error.
pub(super) const REFS_MAX: usize = 10_000;

/// Where every branch and tag points. Tags by their direct target: an annotated tag's object, else the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The branch that HEAD names: the first to be published.
    pub head: Option<String>,
    pub branches: BTreeMap<String, ObjectId>,
    pub tags: BTreeMap<String, ObjectId>,
}

impl Handle {
    /// Reads all refs. Where there is no branch at all and HEAD is detached (a build server's checkout), HEAD itself is
    /// the one branch, by the name `HEAD`.
    ///
    /// # Errors
    /// [`GitError::Shallow`], [`GitError::Corrupt`], [`GitError::TooMany`].
    pub fn snapshot(&self) -> Result<Snapshot, GitError> {
        self.refuse_shallow()?;
        let mut snapshot = Snapshot::default();
        let platform = self.repository.references().map_err(|error| self.unreadable(&error))?;
        self.collect(platform.local_branches(), b"refs/heads/", &mut snapshot.branches)?;
        self.collect(platform.tags(), b"refs/tags/", &mut snapshot.tags)?;
        let head = self.repository.head().map_err(|error| self.unreadable(&error))?;
        snapshot.head = head.referent_name().map(|name| name_text(strip(name.as_bstr(), b"refs/heads/")));
        if snapshot.branches.is_empty() && head.is_detached() {
            let id = head.id().map(gix::Id::detach);
            snapshot.branches.extend(id.map(|id| ("HEAD".to_owned(), id)));
        }
        Ok(snapshot)
    }

    fn collect(
        &self,
        refs: gix::Result<gix::reference::iter::Iter<'_, '_>>,
        prefix: &[u8],
        into: &mut BTreeMap<String, ObjectId>,
    ) -> Result<(), GitError> {
        for reference in refs.map_err(|error| self.unreadable(&error))? {
            let reference = reference.map_err(|error| self.unreadable(&error))?;
            let name = name_text(strip(reference.name().as_bstr(), prefix));
            // A symbolic branch is another name of one that is listed itself.
            let Some(id) = reference.try_id() else { continue };
            into.insert(name, id.detach());
            if into.len() > REFS_MAX {
                let what = if prefix == b"refs/tags/" { "tags" } else { "branches" };
                return Err(GitError::TooMany { url: self.id.to_string(), what, limit: REFS_MAX });
            }
        }
        Ok(())
    }
}

fn strip<'a>(name: &'a BStr, prefix: &[u8]) -> &'a BStr {
    name.strip_prefix(prefix).unwrap_or(name).as_bstr()
}

/// A ref's name as text. Bytes that are not UTF-8 become `%XX`, so that two names stay two.
fn name_text(name: &BStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
    }
    text
}
