//! Steps that stand beside each other, and the order that their `after` gives.

use std::collections::BTreeSet;

use super::Step;

/// A list of steps; each comes after those that its `after` names, which make no circle.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub steps: Vec<Step>,
}

impl Block {
    /// The step of this id, here or within.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find_map(|step| {
            if step.id == id { Some(step) } else { step.kind.blocks().into_iter().find_map(|block| block.find(id)) }
        })
    }

    /// Every step, here and within, in the order of the file.
    #[must_use]
    pub fn all(&self) -> Vec<&Step> {
        self.steps
            .iter()
            .flat_map(|step| std::iter::once(step).chain(step.kind.blocks().into_iter().flat_map(Self::all)))
            .collect()
    }

    /// As [`Block::all`], and what undoes them.
    pub fn all_and_undoing(&self) -> impl Iterator<Item = &Step> {
        self.all().into_iter().flat_map(|step| [Some(step), step.compensate.as_deref()]).flatten()
    }

    /// Ids of all that must have succeeded before this step of the block.
    #[must_use]
    pub fn before(&self, id: &str) -> BTreeSet<&str> {
        let mut before = BTreeSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let step = self.steps.iter().find(|step| step.id == id);
            for earlier in step.into_iter().flat_map(|step| &step.after) {
                if before.insert(earlier.as_str()) {
                    open.push(earlier);
                }
            }
        }
        before
    }

    /// A step that comes after itself, if there is one.
    pub(super) fn circular(&self) -> Option<&Step> {
        self.steps.iter().find(|step| self.before(&step.id).contains(step.id.as_str()))
    }
}
