//! What the handler needs of a repository: one commit's changed files and what is in them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::connectors::git::{Blob, ChangedFile, Repositories};
use crate::dispatch::Failure;

/// The files of one commit. Paths are bytes as git has them, `/` between their parts.
#[async_trait]
pub(super) trait CommitFiles: Send + Sync {
    /// Changed files in order of their paths: against the first parent, or the empty tree where there is none.
    async fn changed(&self) -> Result<Vec<ChangedFile>, Failure>;

    /// What is at `path`; a file larger than `limit` bytes is not read.
    async fn blob(&self, path: &[u8], limit: usize) -> Result<Blob, Failure>;

    /// Whether anything, a directory too, is at `path`.
    async fn exists(&self, path: &[u8]) -> Result<bool, Failure>;
}

/// A commit of a repository of the connector's.
pub(super) struct RepositoryCommit {
    pub(super) repositories: Arc<Repositories>,
    pub(super) url: String,
    pub(super) sha: String,
}

#[async_trait]
impl CommitFiles for RepositoryCommit {
    async fn changed(&self) -> Result<Vec<ChangedFile>, Failure> {
        Ok(self.repositories.changed_files(&self.url, &self.sha).await?)
    }

    async fn blob(&self, path: &[u8], limit: usize) -> Result<Blob, Failure> {
        Ok(self.repositories.blob(&self.url, &self.sha, path, limit).await?)
    }

    async fn exists(&self, path: &[u8]) -> Result<bool, Failure> {
        Ok(self.repositories.exists(&self.url, &self.sha, path).await?)
    }
}
