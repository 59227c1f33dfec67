//! Why an event takes the route that it takes, and what would happen if it failed. For `coafi routes explain`.

use std::time::Duration;

use serde::Serialize;

use super::{Route, Routes};
use crate::dispatch::{ConsumedTopic, dead_letter_topic, delay, retry_topic};
use crate::engine::{Exhausted, Ordering, RouteId};

/// The answer for one type, source and topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Routes in file order up to the one that takes the event; all of them if none does.
    pub candidates: Vec<Candidate>,
    /// The route that takes it.
    pub route: Option<String>,
    pub enabled: bool,
    pub handlers: Vec<String>,
    pub filter: Option<String>,
    pub ordering: &'static str,
    pub retry: Vec<RetryStep>,
    pub deadline: String,
    pub concurrency: usize,
    pub rate_limit: Option<String>,
    /// Bounds of each tenant, if there are any besides the route's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    pub dependencies: Vec<String>,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub route: String,
    /// `None` if it takes the event.
    pub refused_by: Option<String>,
}

/// One attempt after the first, or the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetryStep {
    /// `None` at the end.
    pub attempt: Option<u32>,
    pub place: String,
    /// At most this long after the attempt before.
    pub after: String,
}

impl Routes {
    /// `topic` may be a retry topic.
    #[must_use]
    pub fn explain(&self, topic: &str, event_type: &str, source: &str) -> (Explanation, Option<RouteId>) {
        let base = ConsumedTopic::parse(topic).base;
        let id = self.find(base, event_type, source);
        let until = id.map_or(self.list.len(), |id| id.0 as usize + 1);
        let refused_by = |route: &Route| {
            [("type", &route.types, event_type), ("source", &route.sources, source), ("topic", &route.topics, base)]
                .into_iter()
                .find(|(_, patterns, text)| !patterns.matches(text))
                .map(|(key, patterns, text)| format!("{key} {text:?} does not match {patterns}"))
        };
        let candidates = self.list[..until]
            .iter()
            .map(|route| Candidate { route: route.name.clone(), refused_by: refused_by(route) })
            .collect();
        let route = id.map(|id| self.route(id));
        let explanation = Explanation {
            candidates,
            route: route.map(|r| r.name.clone()),
            enabled: route.is_some_and(|r| r.enabled),
            handlers: route.map(|r| r.handlers.clone()).unwrap_or_default(),
            filter: route.and_then(|r| r.filter.as_ref()).map(|f| f.text().to_owned()),
            ordering: route.map_or("none", |r| ordering_name(r.policy.ordering)),
            retry: route.map(|r| plan(r, base)).unwrap_or_default(),
            deadline: route.map(|r| delay::format(r.deadline)).unwrap_or_default(),
            concurrency: route.map_or(0, |r| r.policy.concurrency),
            rate_limit: route.and_then(|r| r.rate_limit).map(|l| format!("{}/s, burst {}", l.per_second, l.burst)),
            tenant: route.and_then(|r| r.policy.tenant.in_words()),
            dependencies: route
                .map(|r| r.policy.dependencies.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            version: self.version.clone(),
        };
        (explanation, id)
    }
}

const fn ordering_name(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Partition => "partition",
        Ordering::Key => "key",
        Ordering::Strict => "strict",
        Ordering::None => "none",
    }
}

fn plan(route: &Route, base: &str) -> Vec<RetryStep> {
    let retry = &route.policy.retry;
    let mut steps: Vec<RetryStep> = (2..=retry.in_place_attempts)
        .map(|attempt| RetryStep {
            attempt: Some(attempt),
            place: "in place".to_owned(),
            after: format!("up to {}", delay::format(full_backoff(retry.backoff, attempt - 1))),
        })
        .collect();
    for (attempt, tier) in (retry.in_place_attempts + 1..).zip(&retry.tiers) {
        let place = retry_topic(base, *tier);
        steps.push(RetryStep { attempt: Some(attempt), place, after: delay::format(*tier) });
    }
    let place = match route.policy.exhausted {
        Exhausted::DeadLetter => dead_letter_topic(base),
        Exhausted::Halt => "halt: its lane stands still".to_owned(),
    };
    steps.push(RetryStep { attempt: None, place, after: String::new() });
    steps
}

/// The back-off without its jitter.
fn full_backoff(backoff: crate::engine::retry::Backoff, attempt: u32) -> Duration {
    let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    backoff.initial.saturating_mul(factor).min(backoff.cap)
}
