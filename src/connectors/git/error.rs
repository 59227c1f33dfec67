//! What can go wrong with a repository, and which class of failure each is.

use super::hosts::GIT_HOST;
use crate::dispatch::Failure;

/// An error about one repository. Cheap to clone: texts only, gix's own errors stop here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    #[error("{text:?} names no repository: {reason}; allowed: a path, file://, https:// or http://")]
    Address { text: String, reason: String },
    #[error("{url} cannot be read over {scheme}; allowed: a path, file://, https:// or http://")]
    Scheme { url: String, scheme: &'static str },
    #[error("repository {url} is not allowed; allowed: git.repositories and what matches git.allowed")]
    NotAllowed { url: String },
    /// Of a server that only an event names.
    #[error("repository {url} is not allowed: {detail}, or git.allowed its server")]
    NotPublic { url: String, detail: String },
    #[error("no repository at {url}: {detail}")]
    Missing { url: String, detail: String },
    #[error("repository {url} is unreachable: {detail}")]
    Unreachable {
        url: String,
        detail: String,
        /// The server, if it does not answer at all and this process has been told of it: see `hosts`.
        host: Option<String>,
    },
    #[error("repository {url} did not answer within {seconds} s")]
    TimedOut { url: String, seconds: u64 },
    #[error("repository {url} is being cloned or fetched, which goes on; it was waited for {seconds} s")]
    NotReady { url: String, seconds: u64 },
    #[error("repository {url} cannot be fetched: {limit} others are being fetched")]
    Busy { url: String, limit: usize },
    #[error("fetching repository {url} was stopped, because this process ends")]
    Stopped { url: String },
    #[error("repository {url} is shallow, so its history is not all here; `git fetch --unshallow` completes it")]
    Shallow { url: String },
    #[error("{sha:?} is not a hexadecimal object id")]
    Sha { sha: String },
    #[error("repository {url} has no commit {sha}")]
    UnknownCommit { url: String, sha: String },
    #[error("repository {url} is corrupt: {detail}")]
    Corrupt { url: String, detail: String },
    #[error("repository {url} cannot be read on this machine: {detail}")]
    Machine { url: String, detail: String },
    #[error("repository {url} sent more than {limit} bytes; git.fetch_max_bytes allows more")]
    TooLarge { url: String, limit: u64 },
    #[error("repository {url} has more than {limit} {what}")]
    TooMany { url: String, what: &'static str, limit: usize },
    #[error("reading repository {url} panicked: {detail}")]
    Panicked { url: String, detail: String },
}

impl GitError {
    /// The failure that a handler returns for this.
    ///
    /// | error | class |
    /// |---|---|
    /// | a configured server does not answer | systemic (`git:https://host`) |
    /// | not there, unreachable, time-out, still being cloned, the machine's own trouble | transient |
    /// | anything that reading again cannot change | permanent |
    ///
    /// A server that only an event names is no dependency: an outage stops everything that shares it, and one event that
    /// names a server that never was would hold its key for ever, and with it those of other repositories. For the same
    /// reason such failures are about their repository, and are not the same error in different ones; the machine's trouble
    /// is.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Missing { url, .. } => Failure::transient("git_repository_missing", self).about(url),
            Self::Unreachable { host: Some(host), .. } => {
                Failure::systemic(&format!("{GIT_HOST}{host}"), "git_host_unreachable", self)
            }
            Self::Unreachable { url, .. } => Failure::transient("git_unreachable", self).about(url),
            Self::TimedOut { url, .. } => Failure::transient("git_timeout", self).about(url),
            Self::Machine { .. } => Failure::transient("git_io", self),
            Self::NotReady { url, .. } => Failure::transient("git_mirror_not_ready", self).about(url),
            Self::Busy { .. } => Failure::transient("git_busy", self),
            Self::Stopped { .. } => Failure::transient("git_stopped", self),
            Self::Address { .. } | Self::Scheme { .. } => Failure::permanent("git_address", self),
            Self::NotAllowed { .. } | Self::NotPublic { .. } => Failure::permanent("git_not_allowed", self),
            Self::Shallow { .. } => Failure::permanent("git_shallow", self),
            Self::Sha { .. } | Self::UnknownCommit { .. } => Failure::permanent("git_unknown_commit", self),
            Self::Corrupt { .. } => Failure::permanent("git_corrupt", self),
            Self::TooLarge { .. } | Self::TooMany { .. } => Failure::permanent("git_too_large", self),
            Self::Panicked { .. } => Failure::permanent("git_panicked", self),
        }
    }

    /// Whether asking again soon may help without anybody doing something.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Machine { .. }
                | Self::TimedOut { .. }
                | Self::NotReady { .. }
                | Self::Busy { .. }
                | Self::Stopped { .. }
        )
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        error.failure()
    }
}
