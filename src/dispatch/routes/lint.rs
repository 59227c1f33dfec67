//! What is allowed in a routes file and probably not meant.

use std::fmt;

use super::{Route, Routes};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Everything that `route` matches is taken by `by`, which comes first.
    Unreachable { route: String, by: String },
    /// Its events go to `coafi.unprocessed`.
    Disabled { route: String },
    /// It names topics, none of which is declared.
    NoTopic { route: String },
    /// A retry waits longer than records of the same key can be kept in order.
    OvertakenByRetries { route: String },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { route, by } => {
                write!(f, "route {route:?} is unreachable: route {by:?} before it takes all that it matches")
            }
            Self::Disabled { route } => {
                write!(f, "route {route:?} is disabled: its events stay in their topic and wait")
            }
            Self::NoTopic { route } => write!(
                f,
                "route {route:?} is unreachable: it matches no topic that is declared in topics_dir with a dead_letter"
            ),
            Self::OvertakenByRetries { route } => write!(
                f,
                "route {route:?} is ordered by partition, but an event that moves to a retry topic is overtaken; use ordering: \
                 strict, or no retry.topics"
            ),
        }
    }
}

impl Routes {
    /// In file order. `topics`: those that are declared and handled.
    #[must_use]
    pub fn lint(&self, topics: &[&str]) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (index, route) in self.list.iter().enumerate() {
            if let Some(earlier) = self.list[..index].iter().find(|earlier| takes_all(earlier, route)) {
                warnings.push(Warning::Unreachable { route: route.name.clone(), by: earlier.name.clone() });
            }
            if !topics.iter().any(|topic| route.topics.matches(topic)) {
                warnings.push(Warning::NoTopic { route: route.name.clone() });
            }
            if !route.enabled {
                warnings.push(Warning::Disabled { route: route.name.clone() });
            }
            if route.policy.ordering == crate::engine::Ordering::Partition && !route.policy.retry.tiers.is_empty() {
                warnings.push(Warning::OvertakenByRetries { route: route.name.clone() });
            }
        }
        warnings
    }
}

/// The filter does not matter: it is asked after the route was chosen.
fn takes_all(earlier: &Route, later: &Route) -> bool {
    earlier.types.cover(&later.types) && earlier.sources.cover(&later.sources) && earlier.topics.cover(&later.topics)
}
