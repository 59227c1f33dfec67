//! Discovery: from what is published and what the refs say to the next batch. Blocking, deterministic, no Kafka.
//!
//! A session's state runs ahead of what is published by the batches that it handed out. Whoever cannot publish a batch
//! drops the session and makes a new one from the offsets: nothing is repeated or skipped (see `state`).
//!
//! | the branch | what is published |
//! |---|---|
//! | was there at the first start | nothing, what the start commit does not reach, or all: by configuration |
//! | is new, or back again | from its fork point: what no other known branch reaches |
//! | moved | what its published tips do not reach |
//! | moved, and the old tip is not an ancestor | the same, and the push is marked as forced |
//! | is gone | a push without `after`; its published tips are remembered |

use std::sync::Arc;

use super::batch::{Batch, Change, Limits};
use super::refs::Snapshot;
use super::settings::{RepositorySettings, Start};
use super::state::{
    BRANCH_PREFIX, BranchState, DELETED_BRANCHES_MAX, REPOSITORY_PART, RepositoryState, Sha, Started, TAG_PREFIX,
    TagState, WalkState,
};
use super::walk::Walk;
use super::{GitError, Handle};
use crate::connectors::git::graph::Graph;

/// A larger graph is dropped once its walk is done, and read again when it is needed.
const GRAPH_KEPT_COMMITS: usize = 500_000;

/// One repository's discovery.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<RepositorySettings>,
    pub(super) state: RepositoryState,
    pub(super) snapshot: Snapshot,
    pub(super) graph: Option<Graph>,
    pub(super) walk: Option<Walk>,
}

impl Session {
    #[must_use]
    pub fn new(settings: Arc<RepositorySettings>, state: RepositoryState) -> Self {
        Self { settings, state, snapshot: Snapshot::default(), graph: None, walk: None }
    }

    /// Looks at the refs. [`Self::next_batch`] then yields what is new until it yields `None`.
    ///
    /// # Errors
    /// [`GitError`]
    pub fn refresh(&mut self, handle: &Handle) -> Result<(), GitError> {
        let mut snapshot = handle.snapshot()?;
        snapshot.branches.retain(|branch, _| self.settings.branches.matches(branch));
        snapshot.tags.retain(|tag, _| self.settings.tags.matches(tag));
        self.snapshot = snapshot;
        Ok(())
    }

    /// Everything that is published when the batches handed out so far are.
    #[must_use]
    pub fn state(&self) -> &RepositoryState {
        &self.state
    }

    /// The next events with their offsets; `None` when all is published. `now_ms` is the wall clock's.
    ///
    /// # Errors
    /// [`GitError`]; the session's state is undefined then, and a new one has to be made.
    pub fn next_batch(&mut self, handle: &mut Handle, limits: Limits, now_ms: i64) -> Result<Option<Batch>, GitError> {
        let mut batch = Batch::new(limits);
        if self.state.started.is_none() {
            self.first_start(handle, now_ms, &mut batch)?;
        }
        for branch in self.branches_in_order() {
            while !batch.is_full() && self.advance(handle, &branch, now_ms, &mut batch)? {}
        }
        if !batch.is_full() {
            self.deleted_branches(now_ms, &mut batch);
            self.tags(handle, &mut batch)?;
        }
        batch.remaining = self.walk.as_ref().map_or(0, Walk::remaining);
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// Puts a part's present state into the batch.
    pub(super) fn changed(&self, part: String, batch: &mut Batch) {
        let value = self.state.part(&part);
        batch.offsets.insert(part, value);
    }

    pub(super) fn branch_changed(&self, branch: &str, batch: &mut Batch) {
        self.changed(format!("{BRANCH_PREFIX}{branch}"), batch);
    }

    /// Decides for everything that is there, in one transaction: what appears later is new.
    fn first_start(&mut self, handle: &mut Handle, now_ms: i64, batch: &mut Batch) -> Result<(), GitError> {
        let start = self.settings.start;
        if let Start::Commit(commit) = start
            && handle.parents(commit)?.is_none()
        {
            return Err(handle.unknown(commit));
        }
        self.state.started = Some(Started { start: start.to_string(), at_ms: now_ms });
        self.changed(REPOSITORY_PART.to_owned(), batch);
        for (branch, target) in self.snapshot.branches.clone() {
            let walk = WalkState { target: Sha(target), hidden: None, done: 0, last: None, push: None };
            let state = match start {
                Start::Now => {
                    BranchState { published: vec![Sha(target)], tip: Some(Sha(target)), ..BranchState::default() }
                }
                Start::Commit(commit) => {
                    BranchState { published: vec![Sha(commit)], walk: Some(walk), ..BranchState::default() }
                }
                Start::History => BranchState { walk: Some(walk), ..BranchState::default() },
            };
            self.state.branches.insert(branch.clone(), state);
            self.branch_changed(&branch, batch);
        }
        if start != Start::History {
            for (tag, object) in self.snapshot.tags.clone() {
                self.state.tags.insert(tag.clone(), TagState { object: Sha(object) });
                self.changed(format!("{TAG_PREFIX}{tag}"), batch);
            }
        }
        Ok(())
    }

    /// The one that is being published, the one that HEAD names, then by name.
    fn branches_in_order(&self) -> Vec<String> {
        let first = [self.walk.as_ref().map(|walk| &walk.branch), self.snapshot.head.as_ref()];
        let rest = self.snapshot.branches.keys().filter(|branch| !first.contains(&Some(*branch)));
        // A branch that vanished while it was being published is finished: its commits were reachable.
        let unfinished = self.state.branches.iter().filter(|(branch, state)| {
            state.walk.is_some() && !first.contains(&Some(*branch)) && !self.snapshot.branches.contains_key(*branch)
        });
        let unfinished = unfinished.map(|(branch, _)| branch);
        let mut order: Vec<String> = first.into_iter().flatten().chain(rest).chain(unfinished).cloned().collect();
        order.dedup();
        order
    }

    /// Publishes more of a branch; false when there is nothing more of it.
    fn advance(&mut self, handle: &mut Handle, branch: &str, now_ms: i64, batch: &mut Batch) -> Result<bool, GitError> {
        if self.walk.as_ref().is_none_or(|walk| walk.branch != branch) && !self.begin(handle, branch, batch)? {
            return Ok(false);
        }
        let Some(mut walk) = self.walk.take() else { return Ok(true) };
        while !batch.is_full() {
            let Some(sha) = walk.next() else { break };
            let commit = handle.commit(sha)?;
            batch.walked += 1;
            let touches = |path: &[u8]| self.settings.paths.matches_bytes(path);
            let wanted = self.settings.paths.is_any()
                || commit.changed_files.iter().any(|f| touches(&f.path) || f.old_path.as_deref().is_some_and(touches));
            if wanted {
                batch.commit(branch, commit);
            }
        }
        let state = self.state.branches.entry(branch.to_owned()).or_default();
        if walk.remaining() > 0 {
            walk.save(state);
            self.walk = Some(walk);
        } else {
            let push = walk.finish(state);
            if let Some((push, target, commits)) = push {
                batch.push(Change::Push {
                    branch: branch.to_owned(),
                    before: push.before.map(|sha| sha.0),
                    after: Some(target),
                    forced: push.forced,
                    commits,
                    at_ms: now_ms,
                });
            }
            self.graph.take_if(|graph| graph.len() > GRAPH_KEPT_COMMITS);
        }
        self.branch_changed(branch, batch);
        Ok(true)
    }

    fn deleted_branches(&mut self, now_ms: i64, batch: &mut Batch) {
        let gone = self.state.branches.iter().filter(|(branch, state)| {
            // A pattern that was taken out of the configuration deletes no branch.
            state.tip.is_some()
                && self.settings.branches.matches(branch)
                && !self.snapshot.branches.contains_key(*branch)
        });
        for branch in gone.map(|(branch, _)| branch.clone()).collect::<Vec<_>>() {
            if batch.is_full() {
                return;
            }
            let state = self.state.branches.get_mut(&branch).expect("it was just listed");
            let before = state.tip.take().map(|sha| sha.0);
            state.deleted_at_ms = Some(now_ms);
            batch.push(Change::Push {
                branch: branch.clone(),
                before,
                after: None,
                forced: false,
                commits: 0,
                at_ms: now_ms,
            });
            self.branch_changed(&branch, batch);
            self.forget_long_deleted(batch);
        }
    }

    fn forget_long_deleted(&mut self, batch: &mut Batch) {
        let deleted = self.state.branches.iter().filter_map(|(name, state)| Some((state.deleted_at_ms?, name.clone())));
        let mut deleted: Vec<_> = deleted.collect();
        deleted.sort_unstable();
        for (_, branch) in deleted.iter().take(deleted.len().saturating_sub(DELETED_BRANCHES_MAX)) {
            self.state.branches.remove(branch);
            self.branch_changed(branch, batch);
        }
    }
}
