//! Which commits a branch has over what is known, parents first.
//!
//! The order is a depth-first post-order that visits parents in the order in which the commit names them. It depends on
//! nothing but the two sets and the commits themselves: no clocks, no pack layout, no commit-graph file. A walk that is
//! cut off anywhere can therefore be computed again and continued (see `state`).
//!
//! Exact also where commit times lie, which git's own date-ordered walks are not: either every line of history is
//! followed until it meets the known tip ([`near`]), or the whole history is loaded as integers and reachability is
//! computed on it ([`Graph`]).

use gix::ObjectId;
use gix::hashtable::{HashMap, HashSet};

use super::{GitError, Handle};

/// [`near`] gives up after this many commits, and the caller loads the graph.
const NEAR_MAX: usize = 2_000;

/// More commits than this in one repository are an error. Each takes about 60 bytes while its graph is loaded.
pub(super) const COMMITS_MAX: usize = 10_000_000;

/// Commits of `target` that `known` does not have, if every line of history from `target` comes to `known` itself within
/// [`NEAR_MAX`] commits; else `None`. Exact then: a commit on the way that `known` could reach would lie on a cycle.
pub(super) fn near(handle: &mut Handle, target: ObjectId, known: ObjectId) -> Result<Option<Vec<ObjectId>>, GitError> {
    let mut order = Vec::new();
    let mut seen: HashSet = [target, known].into_iter().collect();
    let mut stack = Vec::new();
    let mut enter = (target != known).then_some(target);
    loop {
        if let Some(commit) = enter.take() {
            let parents = handle.parents(commit)?.ok_or_else(|| handle.unknown(commit))?;
            if parents.is_empty() || seen.len() > NEAR_MAX {
                return Ok(None);
            }
            stack.push((commit, parents, 0));
        }
        let Some((commit, parents, next)) = stack.last_mut() else { return Ok(Some(order)) };
        if let Some(parent) = parents.get(*next) {
            *next += 1;
            enter = seen.insert(*parent).then_some(*parent);
        } else {
            order.push(*commit);
            stack.pop();
        }
    }
}

/// Commits and their parents as integers.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Hashed by the id's own first bytes: it is a hash already.
    index: HashMap<ObjectId, u32>,
    ids: Vec<ObjectId>,
    /// Per commit, where its parents are in `edges`: start and count.
    spans: Vec<(u32, u32)>,
    edges: Vec<u32>,
}

/// A set of commits of one [`Graph`].
#[derive(Debug)]
pub(super) struct Reachable(Vec<u64>);

impl Graph {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, commit: ObjectId) -> Option<u32> {
        self.index.get(&commit).copied()
    }

    /// Adds `tip` and everything that it reaches. False if there is no such object.
    ///
    /// # Errors
    /// [`GitError`]; the graph is incomplete then, and has to be dropped.
    pub(super) fn load(&mut self, handle: &mut Handle, tip: ObjectId) -> Result<bool, GitError> {
        if self.index.contains_key(&tip) {
            return Ok(true);
        }
        if handle.parents(tip)?.is_none() {
            return Ok(false);
        }
        let stored = handle.repository.commit_graph_if_enabled().map_err(|error| handle.unreadable(&error))?;
        let mut unread = vec![self.add(handle, tip)?];
        while let Some(commit) = unread.pop() {
            let id = self.ids[commit as usize];
            let parents = match stored.as_ref().and_then(|stored| stored_parents(stored, id)) {
                Some(parents) => parents,
                None => handle.parents(id)?.ok_or_else(|| handle.unknown(id))?,
            };
            let start = self.edges.len();
            for parent in parents {
                let parent = match self.find(parent) {
                    Some(parent) => parent,
                    None => {
                        let parent = self.add(handle, parent)?;
                        unread.push(parent);
                        parent
                    }
                };
                self.edges.push(parent);
            }
            self.spans[commit as usize] = (to_u32(start), to_u32(self.edges.len() - start));
        }
        Ok(true)
    }

    fn add(&mut self, handle: &Handle, id: ObjectId) -> Result<u32, GitError> {
        if self.ids.len() == COMMITS_MAX {
            return Err(GitError::TooMany { url: handle.id.to_string(), what: "commits", limit: COMMITS_MAX });
        }
        let index = to_u32(self.ids.len());
        self.index.insert(id, index);
        self.ids.push(id);
        self.spans.push((0, 0));
        Ok(index)
    }

    fn parents(&self, commit: u32) -> &[u32] {
        let (start, count) = self.spans[commit as usize];
        &self.edges[start as usize..][..count as usize]
    }

    /// The tips that are in the graph, and everything that they reach.
    pub(super) fn reachable(&self, tips: impl IntoIterator<Item = ObjectId>) -> Reachable {
        let mut reachable = Reachable(vec![0; self.ids.len().div_ceil(64)]);
        let mut stack: Vec<u32> = tips.into_iter().filter_map(|tip| self.find(tip)).collect();
        while let Some(commit) = stack.pop() {
            if reachable.insert(commit) {
                stack.extend_from_slice(self.parents(commit));
            }
        }
        reachable
    }

    /// What `target` reaches and `hidden` does not, parents first.
    pub(super) fn order(&self, target: u32, mut hidden: Reachable) -> Vec<ObjectId> {
        let mut order = Vec::new();
        let mut stack: Vec<(u32, u32)> = Vec::new();
        if hidden.insert(target) {
            stack.push((target, 0));
        }
        while let Some((commit, next)) = stack.last_mut() {
            if let Some(parent) = self.parents(*commit).get(*next as usize) {
                *next += 1;
                // From here on `hidden` also holds what the walk has entered.
                if hidden.insert(*parent) {
                    stack.push((*parent, 0));
                }
            } else {
                order.push(self.ids[*commit as usize]);
                stack.pop();
            }
        }
        order
    }
}

impl Reachable {
    pub(super) fn contains(&self, commit: u32) -> bool {
        self.0[commit as usize / 64] >> (commit % 64) & 1 == 1
    }

    fn insert(&mut self, commit: u32) -> bool {
        let word = &mut self.0[commit as usize / 64];
        let bit = 1 << (commit % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

fn stored_parents(stored: &gix::commitgraph::Graph, id: ObjectId) -> Option<Vec<ObjectId>> {
    let commit = stored.commit_by_id(id)?;
    commit.iter_parents().map(|parent| parent.ok().map(|parent| stored.id_at(parent).to_owned())).collect()
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).expect("commits are bounded by COMMITS_MAX, and git bounds a commit's parents far lower")
}
