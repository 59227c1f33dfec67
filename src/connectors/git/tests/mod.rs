//! Discovery and reading against repositories that git made.

#[path = "../../../../tests/support/repositories.rs"]
mod support;

mod discovery;
mod oracle;
mod reading;
mod remote;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use support::Repository;

use super::{Address, Batch, Change, GitError, Handle, Limits, RepositorySettings, RepositoryState, Session, Start};

fn address(repository: &Repository) -> Address {
    Address::parse(&repository.url(), Path::new("/")).unwrap()
}

fn open(repository: &Repository) -> Handle {
    Handle::open(&address(repository).id, &repository.path).unwrap()
}

/// A connector's view of a repository without Kafka: what is published, and the offsets that survive a crash.
struct Watch {
    settings: Arc<RepositorySettings>,
    offsets: BTreeMap<String, Value>,
    published: Vec<Change>,
    transactions: usize,
}

impl Watch {
    fn new(repository: &Repository, start: Start) -> Self {
        Self::with(RepositorySettings { start, ..RepositorySettings::new(address(repository)) })
    }

    fn with(settings: RepositorySettings) -> Self {
        Self { settings: Arc::new(settings), offsets: BTreeMap::new(), published: Vec::new(), transactions: 0 }
    }

    fn session(&self) -> Session {
        Session::new(Arc::clone(&self.settings), RepositoryState::from_parts(&self.offsets).unwrap())
    }

    fn commit(&mut self, batch: Batch) -> Vec<Change> {
        for (part, value) in batch.offsets {
            match value {
                Some(value) => self.offsets.insert(part, value),
                None => self.offsets.remove(&part),
            };
        }
        self.transactions += 1;
        self.published.extend(batch.changes.iter().cloned());
        batch.changes
    }

    /// Publishes everything that is new; gives what this poll published.
    fn poll(&mut self, repository: &Repository) -> Vec<Change> {
        self.try_poll(repository).unwrap()
    }

    fn try_poll(&mut self, repository: &Repository) -> Result<Vec<Change>, GitError> {
        let mut handle = Handle::open(&address(repository).id, &repository.path)?;
        let (mut session, mut changes) = (self.session(), Vec::new());
        session.refresh(&handle)?;
        while let Some(batch) = session.next_batch(&mut handle, self.settings.limits, 7)? {
            changes.extend(self.commit(batch));
        }
        Ok(changes)
    }

    /// As [`Self::poll`], but the process dies after every transaction, and every other time before it.
    fn poll_with_crashes(&mut self, repository: &Repository, limits: Limits) {
        loop {
            for survives in [false, true] {
                let mut handle = open(repository);
                let mut session = self.session();
                session.refresh(&handle).unwrap();
                let Some(batch) = session.next_batch(&mut handle, limits, 7).unwrap() else { return };
                if survives {
                    self.commit(batch);
                }
            }
        }
    }
}

/// `branch@sha`, `branch: before..after`, `tag v1: before..after`, with short shas.
fn describe(changes: &[Change]) -> Vec<String> {
    let short =
        |sha: &Option<gix::ObjectId>| sha.map_or_else(|| "-".to_owned(), |sha| sha.to_hex_with_len(7).to_string());
    let describe = |change: &Change| match change {
        Change::Commit { branch, commit, .. } => format!("{branch}@{}", commit.sha.to_hex_with_len(7)),
        Change::Push { branch, before, after, forced, commits, .. } => {
            let forced = if *forced { " forced" } else { "" };
            format!("{branch}: {}..{} {commits}{forced}", short(before), short(after))
        }
        Change::Tag { tag, before, after } => {
            format!("tag {tag}: {}..{}", short(before), short(&after.as_ref().map(|after| after.target)))
        }
    };
    changes.iter().map(describe).collect()
}

/// The published commits of a branch, in order.
fn commits(changes: &[Change], of: &str) -> Vec<String> {
    let sha = |change: &Change| match change {
        Change::Commit { branch, commit, .. } if branch == of => Some(commit.sha.to_string()),
        _ => None,
    };
    changes.iter().filter_map(sha).collect()
}
