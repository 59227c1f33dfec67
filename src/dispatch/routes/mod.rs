//! Routes: which handlers an event goes to, and under which policy (`handler_routes.yaml`).
//!
//! A set of routes is parsed as a whole or not at all: an unknown key, handler, value or retry tier, or a filter that does not
//! compile, is an error that names file, route, key, value and what is allowed. The first route in file order that matches
//! an event's type, source and topic takes it; its filter then decides, on the worker, whether the event is wanted.
//!
//! Nothing here knows a record, a broker or a running handler.

mod cache;
mod error;
mod explain;
mod fields;
mod lint;
mod parse;
mod pattern;
mod raw;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

pub(super) use cache::RouteCache;
pub use error::RoutesError;
pub use explain::{Candidate, Explanation, RetryStep};
pub use lint::Warning;
pub use pattern::Patterns;

use super::{ConsumedTopic, Filter};
use crate::engine::{Exhausted, Overflow, RouteId, RoutePolicy};

/// Handlers that one route can have: a bit each in the attempt's `done` mask.
pub const MAX_HANDLERS: usize = u16::BITS as usize;
/// Routes in a file.
pub const MAX_ROUTES: usize = 1_000;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    pub types: Patterns,
    pub sources: Patterns,
    /// Source topics; a retry topic matches as its source topic does.
    pub topics: Patterns,
    pub filter: Option<Filter>,
    /// At least one, each once; a handler's bit in `done` is its index.
    pub handlers: Vec<String>,
    pub policy: RoutePolicy,
    /// Go on after retention has passed the committed position, instead of standing still (I10). A topic's partitions go on
    /// if every route that takes its events says so.
    pub continue_after_loss: bool,
    pub rate_limit: Option<RateLimit>,
    /// How long each handler may take for one attempt.
    pub deadline: Duration,
    /// A disabled route still takes its events, so that no later route does: they stay in their topic, uncommitted.
    pub enabled: bool,
}

/// Events of a route that may start, all workers of the replica together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// What routes may refer to.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Names of the registered handlers.
    pub handlers: BTreeSet<String>,
    /// Source topics with the delays of their retry topics, as declared in `topics/`.
    pub topics: BTreeMap<String, Vec<Duration>>,
}

impl Known {
    /// Handlers that a wrong name may have meant: those of its family (`http:…`), else all that belong to none.
    fn handlers_like(&self, name: &str) -> String {
        let family = name.split_once(':').map(|(family, _)| family);
        let is_of = |known: &&String| known.split_once(':').map(|(family, _)| family) == family;
        let like: Vec<&str> = self.handlers.iter().filter(is_of).map(String::as_str).collect();
        match like.is_empty() {
            true => {
                format!("names of the configuration, which has none that begins with {}:", family.unwrap_or_default())
            }
            false => like.join(", "),
        }
    }
}

/// A checked set of routes. [`RouteId`] is the index in file order.
#[derive(Clone, Debug)]
pub struct Routes {
    list: Vec<Route>,
    version: String,
}

impl Routes {
    /// `file` is for error messages.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(file: &str, text: &str, known: &Known) -> Result<Self, RoutesError> {
        parse::parse(file, text, known)
    }

    /// The route that takes an event of this type and source from this source topic.
    #[must_use]
    pub fn find(&self, topic: &str, event_type: &str, source: &str) -> Option<RouteId> {
        let index = self.list.iter().position(|route| {
            route.types.matches(event_type) && route.topics.matches(topic) && route.sources.matches(source)
        })?;
        Some(RouteId(u32::try_from(index).expect("at most MAX_ROUTES")))
    }

    /// # Panics
    /// If the id is of another set of routes.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.list[id.0 as usize]
    }

    /// All routes in file order.
    #[must_use]
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    /// What the engine needs to know of them, by [`RouteId`]. Of a disabled route nothing runs, and its events wait.
    #[must_use]
    pub fn policies(&self) -> Vec<RoutePolicy> {
        let policy = |route: &Route| match route.enabled {
            true => route.policy.clone(),
            false => RoutePolicy { concurrency: 0, ..route.policy.clone() },
        };
        self.list.iter().map(policy).collect()
    }

    /// These routes for a replay: attempts are made in place only, and nothing halts.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        for Route { policy, .. } in &mut self.list {
            policy.retry.tiers.clear();
            policy.retry.fault_attempts = policy.retry.fault_attempts.min(policy.retry.in_place_attempts);
            (policy.overflow, policy.exhausted) = (Overflow::DeadLetter, Exhausted::DeadLetter);
        }
        self
    }

    /// These routes with those disabled that have no other handler than this one.
    #[must_use]
    pub fn without(mut self, handler: &str) -> Self {
        for route in &mut self.list {
            route.enabled &= route.handlers.iter().any(|name| name != handler);
        }
        self
    }

    /// Whether a partition of this topic goes on after retention took events before they were read: only if every route
    /// that can take events of the topic says so.
    #[must_use]
    pub fn continue_after_loss(&self, topic: &str) -> bool {
        let base = ConsumedTopic::parse(topic).base;
        let mut routes = self.list.iter().filter(|route| route.topics.matches(base)).peekable();
        routes.peek().is_some() && routes.all(|route| route.continue_after_loss)
    }

    /// Hash of the canonical content: layout and comments do not change it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a route looks at the source at all; where none does, lookups can be cached by type alone.
    fn look_at_source(&self) -> bool {
        self.list.iter().any(|route| !route.sources.is_any())
    }
}
