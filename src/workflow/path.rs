//! Where a step stands in a run: `check`, or `each[2]/check` within a container.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The place of one step of a run. Ids are unique in a definition; the path tells apart the rounds of a `for_each`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(String);

/// Behind the path of a step: what undoes it. No id has it.
const UNDO: &str = "~undo";

impl Path {
    /// Of a step in the outermost block.
    #[must_use]
    pub fn root(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// Of a step within this container.
    #[must_use]
    pub fn child(&self, id: &str) -> Self {
        Self(format!("{}/{id}", self.0))
    }

    /// Of one round of this `for_each`.
    #[must_use]
    pub fn round(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// As somebody else gives it; whether there is such a step shows when it is looked up.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The step's id in the definition.
    #[must_use]
    pub fn id(&self) -> &str {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        last.split(['[', '~']).next().unwrap_or_default()
    }

    /// Of what undoes this step.
    #[must_use]
    pub fn undo(&self) -> Self {
        Self(format!("{}{UNDO}", self.0))
    }

    #[must_use]
    pub fn is_undo(&self) -> bool {
        self.0.ends_with(UNDO)
    }

    /// The container that it is in, with its round if it has rounds.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// The container without its round, and the round.
    #[must_use]
    pub fn without_round(&self) -> (Self, Option<usize>) {
        let round = self.0.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
        match round.and_then(|(container, index)| Some((container, index.parse().ok()?))) {
            Some((container, index)) => (Self(container.to_owned()), Some(index)),
            None => (self.clone(), None),
        }
    }

    /// Whether it is somewhere within `container`, in any round.
    #[must_use]
    pub fn is_within(&self, container: &Self) -> bool {
        self.0.strip_prefix(&container.0).is_some_and(|rest| rest.starts_with(['/', '[']))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart_as_it_was_put_together() {
        let path = Path::root("each").round(2).child("pick").child("note");
        assert_eq!(path.as_str(), "each[2]/pick/note");
        assert_eq!(path.id(), "note");
        let pick = path.parent().unwrap();
        assert_eq!((pick.id(), pick.without_round().1), ("pick", None));
        assert_eq!(pick.parent().unwrap().without_round(), (Path::root("each"), Some(2)));
        assert_eq!(Path::root("each").parent(), None);
        let undo = path.undo();
        assert_eq!((undo.id(), undo.is_undo(), undo.parent()), ("note", true, path.parent()));
        assert!(path.is_within(&Path::root("each")) && !path.is_within(&Path::root("ea")));
    }
}
