//! What a connector is doing, for a person who watches.

use std::collections::BTreeMap;

/// Of all watched repositories, by identity. Sent through a watch channel: only the newest state matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub repositories: BTreeMap<String, RepositoryProgress>,
}

/// Of one repository, since this process took it over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryProgress {
    /// Commits that are published or known to be next.
    pub found: u64,
    /// Commits that are dealt with: published, or left out by the path patterns.
    pub done: u64,
    /// Events in committed transactions.
    pub published: u64,
    pub phase: Phase,
    /// The last error, until something succeeds.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Another connector owns it, or ownership is not decided yet.
    #[default]
    StandingBy,
    Publishing,
    /// All is published; it is looked at again from time to time.
    UpToDate,
    /// Waiting to try again after an error.
    Failing,
}

impl Progress {
    /// Events published, of all repositories.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.repositories.values().map(|repository| repository.published).sum()
    }

    /// Commits found, of all repositories.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.repositories.values().map(|repository| repository.found).sum()
    }

    /// Whether everything that can be published is.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        // Before the start nothing is known yet.
        !self.repositories.is_empty()
            && self.repositories.values().all(|repository| repository.phase == Phase::UpToDate)
    }
}
