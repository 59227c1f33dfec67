//! `git.commit`: a commit that became reachable from a monitored branch.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.GitCommitEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitCommit {
    /// Hexadecimal object id.
    pub commit_sha: String,
    /// URL or path of the repository as it is configured, without credentials.
    pub repository_url: String,
    /// Short name of the branch.
    pub branch: String,
    pub author: Person,
    pub committer: Person,
    /// Bytes that are not UTF-8 are replaced.
    pub message: String,
    pub parents: Vec<String>,
    pub committed_at: i64,
    /// Against the first parent; against the empty tree where there is none.
    pub changed_files: Vec<ChangedFile>,
    /// There are more changed files than listed; the commit itself has all.
    #[serde(default)]
    pub changed_files_truncated: bool,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for GitCommit {
    const EVENT_TYPE: &'static str = "git.commit";
    const RECORD_NAME: &'static str = "org.coafi.events.GitCommitEventPayload";
    const SCHEMA: &'static str = embedded::GIT_COMMIT;
}

impl Encodes<Self> for GitCommit {}

/// Who a git object names: as it is written there, not verified. Shared with `git.tag`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedFile {
    /// With `/` between its parts. Where it is not UTF-8, the bytes in question are replaced, and [`Self::path_bytes`] has it.
    pub path: String,
    #[serde(default)]
    pub path_bytes: Option<Bytes>,
    pub status: FileStatus,
    /// Where a renamed or copied file came from.
    #[serde(default)]
    pub old_path: Option<String>,
    #[serde(default)]
    pub old_path_bytes: Option<Bytes>,
    /// What is at the path in this commit; of a deleted file, what was there.
    pub kind: FileKind,
}

impl ChangedFile {
    /// The path as git has it.
    #[must_use]
    pub fn raw_path(&self) -> &[u8] {
        self.path_bytes.as_deref().unwrap_or(self.path.as_bytes())
    }

    /// [`Self::path`] and [`Self::path_bytes`] of a path as git has it.
    #[must_use]
    pub fn split_path(raw: &[u8]) -> (String, Option<Bytes>) {
        match std::str::from_utf8(raw) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (String::from_utf8_lossy(raw).into_owned(), Some(Bytes::copy_from_slice(raw))),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStatus {
    Added,
    Modified,
    Deleted,
    Renamed,
    Copied,
    TypeChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    File,
    Executable,
    Symlink,
    Submodule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_survives() {
        for raw in [&b"docs/a.md"[..], b"docs/\xff.md", b""] {
            let (path, path_bytes) = ChangedFile::split_path(raw);
            let file = ChangedFile {
                path,
                path_bytes,
                status: FileStatus::Added,
                old_path: None,
                old_path_bytes: None,
                kind: FileKind::File,
            };
            assert_eq!(file.raw_path(), raw);
        }
    }
}
