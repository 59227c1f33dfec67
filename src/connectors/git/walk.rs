//! One branch on its way to a new tip: the question, its answer in order, and how far it is published.

use std::collections::BTreeSet;

use gix::ObjectId;

use super::batch::Batch;
use super::graph::{self, Graph};
use super::session::Session;
use super::state::{BranchState, KNOWN_TIPS_MAX, PushState, Sha, WalkState};
use super::{GitError, Handle};

/// A walk with its answer. The answer is ids only: 20 bytes for each commit.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) branch: String,
    question: WalkState,
    order: Vec<ObjectId>,
    next: usize,
    /// Published tips that the target does not reach: they stay known.
    keep: Vec<Sha>,
}

impl Walk {
    pub(super) fn remaining(&self) -> usize {
        self.order.len() - self.next
    }

    pub(super) fn next(&mut self) -> Option<ObjectId> {
        let next = self.order.get(self.next).copied();
        self.next += usize::from(next.is_some());
        next
    }

    fn cursor(&self) -> WalkState {
        let last = self.next.checked_sub(1).map(|last| Sha(self.order[last]));
        WalkState { done: self.next as u64, last, ..self.question.clone() }
    }

    pub(super) fn save(&self, state: &mut BranchState) {
        state.walk = Some(self.cursor());
    }

    /// The branch is published up to the target. Gives the push to announce, the target and its number of commits.
    pub(super) fn finish(self, state: &mut BranchState) -> Option<(PushState, ObjectId, u64)> {
        let target = self.question.target;
        let mut published = self.keep;
        published.push(target);
        published.drain(..published.len().saturating_sub(KNOWN_TIPS_MAX));
        *state = BranchState { published, tip: Some(target), walk: None, deleted_at_ms: None };
        self.question.push.map(|push| (push, target.0, self.order.len() as u64))
    }
}

/// The answer to a question, and what it says about the tips.
struct Answer {
    order: Vec<ObjectId>,
    keep: Vec<Sha>,
    /// Whether the target reaches where the branch was before.
    descends: bool,
}

impl Session {
    /// Sets `self.walk` to continue or begin a branch's walk. False if the branch is published. True without a walk if
    /// one was given up.
    pub(super) fn begin(&mut self, handle: &mut Handle, branch: &str, batch: &mut Batch) -> Result<bool, GitError> {
        let state = self.state.branches.get(branch).cloned().unwrap_or_default();
        let (mut question, is_new) = match &state.walk {
            Some(walk) => (walk.clone(), false),
            None => match self.snapshot.branches.get(branch) {
                Some(target) if state.tip != Some(Sha(*target)) => {
                    let push = Some(PushState { before: state.tip, forced: false });
                    (WalkState { target: Sha(*target), hidden: None, done: 0, last: None, push }, true)
                }
                _ => return Ok(false),
            },
        };
        if handle.parents(question.target.0)?.is_none() {
            if is_new {
                return Err(handle.unknown(question.target.0));
            }
            self.give_up(handle, branch, state, &question, batch);
            return Ok(true);
        }
        let hidden = question.hidden.take().unwrap_or_else(|| self.hidden(branch, &state));
        let answer = self.answer(handle, &question, &hidden, &state)?;
        if let Some(push) = question.push.as_mut().filter(|_| is_new) {
            push.forced = push.before.is_some() && !answer.descends;
        }
        let next = position(&answer.order, &question, handle, branch);
        question.hidden = Some(hidden);
        self.walk = Some(Walk { branch: branch.to_owned(), question, order: answer.order, next, keep: answer.keep });
        Ok(true)
    }

    /// What a walk that begins now leaves out: what the branch published, and, unless it goes on from a tip, what other
    /// branches published (the fork point).
    fn hidden(&self, branch: &str, state: &BranchState) -> Vec<Sha> {
        let mut hidden: BTreeSet<Sha> = state.published.iter().copied().collect();
        if state.tip.is_none() {
            let others = self.state.branches.iter().filter(|(name, _)| *name != branch);
            hidden.extend(others.filter_map(|(_, other)| other.published.last()));
        }
        hidden.into_iter().collect()
    }

    fn answer(
        &mut self,
        handle: &mut Handle,
        question: &WalkState,
        hidden: &[Sha],
        state: &BranchState,
    ) -> Result<Answer, GitError> {
        let target = question.target.0;
        // The usual push: new commits on top of the one tip that is published.
        if let ([known], true) = (hidden, state.published == hidden)
            && let Some(order) = graph::near(handle, target, known.0)?
        {
            return Ok(Answer { order, keep: Vec::new(), descends: true });
        }
        let mut graph = self.graph.take().unwrap_or_default();
        graph.load(handle, target)?;
        for tip in hidden.iter().chain(&state.published).chain(&state.tip) {
            // A tip that was collected as garbage hides nothing that is still reachable by it alone.
            if !graph.load(handle, tip.0)? {
                tracing::warn!(repository = %handle.id, commit = %tip.0, "published tip is gone from the repository");
            }
        }
        let answer = answer(&graph, target, hidden, state);
        self.graph = Some(graph);
        Ok(answer)
    }

    /// The target of an unfinished walk was rewritten and collected as garbage. What is published of it stays known by
    /// its last commit.
    fn give_up(
        &mut self,
        handle: &Handle,
        branch: &str,
        mut state: BranchState,
        question: &WalkState,
        batch: &mut Batch,
    ) {
        tracing::warn!(repository = %handle.id, branch, commit = %question.target.0,
            "the tip that was being published is gone from the repository");
        state.published.extend(question.last);
        state.walk = None;
        self.state.branches.insert(branch.to_owned(), state);
        self.branch_changed(branch, batch);
    }
}

fn answer(graph: &Graph, target: ObjectId, hidden: &[Sha], state: &BranchState) -> Answer {
    let reached = graph.reachable([target]);
    let is_reached = |sha: &Sha| graph.find(sha.0).is_some_and(|commit| reached.contains(commit));
    let index = graph.find(target).expect("the target was loaded");
    Answer {
        order: graph.order(index, graph.reachable(hidden.iter().map(|sha| sha.0))),
        keep: state.published.iter().filter(|sha| !is_reached(sha)).copied().collect(),
        descends: state.tip.as_ref().is_none_or(is_reached),
    }
}

/// Where to continue. The count and the last commit agree, unless somebody changed the history itself (grafts): then the
/// last commit decides, and if it is gone, the walk starts again: repeating is safe, skipping is not.
fn position(order: &[ObjectId], question: &WalkState, handle: &Handle, branch: &str) -> usize {
    let Some(last) = question.last else { return 0 };
    let done = usize::try_from(question.done).unwrap_or(usize::MAX);
    if done.checked_sub(1).and_then(|at| order.get(at)) == Some(&last.0) {
        return done;
    }
    tracing::warn!(repository = %handle.id, branch, commit = %last.0, "history changed under an unfinished walk");
    order.iter().position(|sha| *sha == last.0).map_or(0, |at| at + 1)
}
