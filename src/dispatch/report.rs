//! What a worker has to say of an attempt: the raw material of its outcome record.

use std::time::Duration;

use super::{Failure, Routed, Success};

/// One attempt at one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Milliseconds since the Unix epoch.
    pub started_ms: i64,
    pub ended_ms: i64,
    /// Of the handlers that ran, in the order of the route's list; or the one thing that kept them from running.
    pub runs: Vec<HandlerRun>,
    /// The attempt's own span, where it was traced.
    pub traceparent: Option<String>,
    /// The route that it was made under, of its version.
    pub route: Routed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HandlerRun {
    /// Index into the route's handlers; `None` for what failed before any handler ran (the event's time, the filter).
    pub handler: Option<u8>,
    pub took: Duration,
    pub result: Result<Success, Refusal>,
}

/// A failure, and where it happened if it was a panic (`file:line:column`).
#[derive(Clone, Debug)]
pub struct Refusal {
    pub failure: Failure,
    pub location: Option<String>,
}

impl PartialEq for Refusal {
    fn eq(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.failure.class.clone(), r.failure.code, r.failure.message.clone(), r.location.clone());
        key(self) == key(other)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { failure, location: None }
    }
}

impl Report {
    /// The refusal that decides what becomes of the event: see [`super::attempt`] for the order of classes.
    #[must_use]
    pub fn refusal(&self) -> Option<(&HandlerRun, &Refusal)> {
        let failed = self.runs.iter().filter_map(|run| run.result.as_ref().err().map(|refusal| (run, refusal)));
        failed.min_by_key(|(_, refusal)| super::attempt::rank(&refusal.failure.class))
    }

    /// The longest time before the next attempt that a handler asks for: all of them that failed run again at once.
    pub(super) fn asked_wait(&self) -> Duration {
        let failed = self.runs.iter().filter_map(|run| run.result.as_ref().err());
        failed.filter_map(|refusal| refusal.failure.retry_after).max().unwrap_or_default()
    }
}
