//! From a file's text to checked routes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use super::fields::At;
use super::{Known, MAX_HANDLERS, MAX_ROUTES, Patterns, RateLimit, Route, Routes, RoutesError, raw};
use crate::dispatch::{DEPENDENCIES, Filter, delay};
use crate::engine::retry::{Backoff, Policy};
use crate::engine::{Dependency, Exhausted, HandlerList, Ordering, Overflow, RoutePolicy, TenantPolicy, TenantQuota};
use crate::outgoing::HTTP_ENDPOINT;

const ATTEMPTS: u32 = 3;
const MAX_ATTEMPTS: u32 = 100;
const MAX_TIERS: usize = 16;
const FAULT_ATTEMPTS: u32 = 2;
const BACKOFF_INITIAL: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(300);
const MAX_TIER: Duration = Duration::from_secs(24 * 3600);
const CONCURRENCY: u32 = 256;
const MAX_CONCURRENCY: u32 = 100_000;
const MAX_RATE: u32 = 1_000_000;
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_DEADLINE: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn parse(file: &str, text: &str, known: &Known) -> Result<Routes, RoutesError> {
    let whole = |message: String| RoutesError::Whole { file: file.to_owned(), message };
    if text.trim().is_empty() {
        return Err(whole("the file is empty; expected routes: [...]".to_owned()));
    }
    let raw: raw::File = crate::yaml::from_str(text).map_err(|error| shape(file, text, &error))?;
    if raw.routes.is_empty() || raw.routes.len() > MAX_ROUTES {
        return Err(whole(format!("routes has {} entries; allowed: 1 to {MAX_ROUTES}", raw.routes.len())));
    }
    let mut names = BTreeSet::new();
    let mut list = Vec::with_capacity(raw.routes.len());
    for (index, one) in raw.routes.iter().enumerate() {
        let position = format!("#{}", index + 1);
        let unnamed = At { file, route: &position };
        let name = match &one.name {
            Some(name) => unnamed.text("name", name)?,
            None => return Err(unnamed.missing("name", "every route has a name of its own")),
        };
        if !names.insert(name.to_owned()) {
            return Err(unnamed.refuse("name", name, "a name that no other route has"));
        }
        list.push(route(At { file, route: name }, one, known)?);
    }
    let canonical = serde_json::to_string(&raw).map_err(|error| whole(error.to_string()))?;
    Ok(Routes { list, version: version(&canonical) })
}

/// First 16 hexadecimal digits of the content's SHA-256.
fn version(canonical: &str) -> String {
    Sha256::digest(canonical).iter().take(8).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

/// Finds the route that a parser's error is in: the parser gives only the position.
fn shape(file: &str, text: &str, error: &serde_saphyr::Error) -> RoutesError {
    let route = crate::yaml::from_str::<Value>(text).ok().and_then(|whole| {
        let routes = whole.get("routes")?.as_array()?;
        let (index, wrong) = routes
            .iter()
            .enumerate()
            .find(|(_, route)| serde_json::from_value::<raw::Route>((*route).clone()).is_err())?;
        let name = wrong.get("name").and_then(Value::as_str);
        Some(name.map_or_else(|| format!("#{}", index + 1), str::to_owned))
    });
    let message = error.without_snippet().to_string();
    RoutesError::Shape { file: file.to_owned(), route, message }
}

fn route(at: At<'_>, raw: &raw::Route, known: &Known) -> Result<Route, RoutesError> {
    let Some(matches) = &raw.matches else { return Err(at.missing("match", "a route needs match: {type: ...}")) };
    if matches.types.is_none() {
        return Err(at.missing("match.type", "a glob or a list of them; \"*\" matches every type"));
    }
    let topics = patterns(at, "match.topic", matches.topic.as_ref())?;
    let ordering = at.choice(
        "ordering",
        raw.ordering.as_ref(),
        Ordering::Key,
        &[
            ("partition", Ordering::Partition),
            ("key", Ordering::Key),
            ("strict", Ordering::Strict),
            ("none", Ordering::None),
        ],
    )?;
    let handlers = handlers(at, raw, known)?;
    let policy = policy(at, raw, &handlers, ordering, &topics, known)?;
    Ok(Route {
        name: at.route.to_owned(),
        types: patterns(at, "match.type", matches.types.as_ref())?,
        sources: patterns(at, "match.source", matches.source.as_ref())?,
        topics,
        filter: raw.filter.as_ref().map(|filter| compile(at, filter)).transpose()?,
        handlers,
        policy,
        continue_after_loss: at.choice(
            "on_loss",
            raw.on_loss.as_ref(),
            false,
            &[("halt", false), ("continue", true)],
        )?,
        rate_limit: raw
            .rate_limit
            .as_ref()
            .map(|limit| rate_limit(at, ["rate_limit.per_second", "rate_limit.burst"], limit))
            .transpose()?,
        deadline: at.duration("deadline", raw.deadline.as_ref(), DEADLINE, MILLISECOND..=MAX_DEADLINE)?,
        enabled: at.flag("enabled", raw.enabled.as_ref(), true)?,
    })
}

fn patterns(at: At<'_>, key: &str, value: Option<&Value>) -> Result<Patterns, RoutesError> {
    let Some(value) = value else { return Ok(Patterns::any()) };
    Patterns::new(at.texts(key, value)?)
        .map_err(|(glob, why)| at.refuse(key, format!("{glob:?}"), format!("a glob ({why})")))
}

fn compile(at: At<'_>, value: &Value) -> Result<Filter, RoutesError> {
    Filter::compile(at.text("filter", value)?).map_err(|error| RoutesError::Filter {
        file: at.file.to_owned(),
        route: at.route.to_owned(),
        message: error.to_string(),
    })
}

fn handlers(at: At<'_>, raw: &raw::Route, known: &Known) -> Result<Vec<String>, RoutesError> {
    let (key, value) = match (&raw.handler, &raw.handlers) {
        (Some(one), None) => ("handler", one),
        (None, Some(many)) => ("handlers", many),
        (None, None) => return Err(at.missing("handler", "a route needs handler: NAME or handlers: [NAME, ...]")),
        (Some(one), Some(_)) => return Err(at.refuse("handler", one, "handler or handlers, not both")),
    };
    let names = at.texts(key, value)?;
    if names.len() > MAX_HANDLERS {
        return Err(at.refuse(key, format!("a list of {}", names.len()), format!("at most {MAX_HANDLERS} handlers")));
    }
    for (index, name) in names.iter().enumerate() {
        if !known.handlers.contains(name) {
            return Err(at.refuse(key, format!("{name:?}"), known.handlers_like(name)));
        }
        if names[..index].contains(name) {
            return Err(at.refuse(key, format!("{name:?}"), "each handler once"));
        }
    }
    Ok(names)
}

/// The next release, and one that takes over from this one, make the same of the same names: it is in offset maps.
fn handler_list(names: &[String]) -> HandlerList {
    HandlerList(xxh3_64(names.join(",").as_bytes()))
}

fn rate_limit(at: At<'_>, key: [&str; 2], raw: &raw::RateLimit) -> Result<RateLimit, RoutesError> {
    let [per_second_key, burst_key] = key;
    if raw.per_second.is_none() {
        return Err(at.missing(per_second_key, format!("a whole number from 1 to {MAX_RATE}")));
    }
    let per_second = at.number(per_second_key, raw.per_second.as_ref(), 1, 1..=MAX_RATE)?;
    let burst = at.number(burst_key, raw.burst.as_ref(), per_second, 1..=MAX_RATE)?;
    let positive = |n| NonZeroU32::new(n).expect("the range begins at 1");
    Ok(RateLimit { per_second: positive(per_second), burst: positive(burst) })
}

/// Bounds of each tenant; without them the route's count.
fn tenant(at: At<'_>, raw: Option<&raw::Tenant>) -> Result<TenantPolicy, RoutesError> {
    let Some(raw) = raw else { return Ok(TenantPolicy::default()) };
    let concurrency = match &raw.concurrency {
        Some(value) => at.number("tenant.concurrency", Some(value), CONCURRENCY, 1..=MAX_CONCURRENCY)? as usize,
        None => TenantPolicy::default().concurrency,
    };
    const KEYS: [&str; 2] = ["tenant.rate_limit.per_second", "tenant.rate_limit.burst"];
    let limit = raw.rate_limit.as_ref().map(|limit| rate_limit(at, KEYS, limit)).transpose()?;
    let quota = limit.map(|limit| TenantQuota { per_second: limit.per_second.get(), burst: limit.burst.get() });
    Ok(TenantPolicy { concurrency, quota })
}

fn policy(
    at: At<'_>,
    raw: &raw::Route,
    handlers: &[String],
    ordering: Ordering,
    topics: &Patterns,
    known: &Known,
) -> Result<RoutePolicy, RoutesError> {
    let retry = &raw.retry;
    let tiers = tiers(at, retry.topics.as_ref(), topics, known)?;
    if ordering == Ordering::Strict && !tiers.is_empty() {
        let value = retry.topics.as_ref().map(Value::to_string).unwrap_or_default();
        return Err(at.refuse("retry.topics", value, "none with ordering strict, which retries in place only"));
    }
    let backoff = Backoff {
        initial: at.duration(
            "retry.in_place.backoff.initial",
            retry.in_place.backoff.initial.as_ref(),
            BACKOFF_INITIAL,
            MILLISECOND..=MAX_BACKOFF,
        )?,
        cap: at.duration(
            "retry.in_place.backoff.cap",
            retry.in_place.backoff.cap.as_ref(),
            BACKOFF_CAP,
            MILLISECOND..=MAX_BACKOFF,
        )?,
    };
    if backoff.cap < backoff.initial {
        let allowed = format!("at least the initial {}", delay::format(backoff.initial));
        return Err(at.refuse("retry.in_place.backoff.cap", delay::format(backoff.cap), allowed));
    }
    let attempts =
        at.number("retry.in_place.attempts", retry.in_place.attempts.as_ref(), ATTEMPTS, 1..=MAX_ATTEMPTS)?;
    let mut retry_policy = Policy { in_place_attempts: attempts, backoff, tiers, fault_attempts: 1 };
    let all = retry_policy.max_attempts();
    retry_policy.fault_attempts =
        at.number("retry.fault_attempts", retry.fault_attempts.as_ref(), FAULT_ATTEMPTS.min(all), 1..=all)?;
    Ok(RoutePolicy {
        handlers: handler_list(handlers),
        ordering,
        overflow: overflow(at, retry.overflow.as_ref(), ordering, &retry_policy)?,
        retry: retry_policy,
        exhausted: at.choice(
            "retry.exhausted",
            retry.exhausted.as_ref(),
            Exhausted::DeadLetter,
            &[("dead_letter", Exhausted::DeadLetter), ("halt", Exhausted::Halt)],
        )?,
        concurrency: at.number("concurrency", raw.concurrency.as_ref(), CONCURRENCY, 1..=MAX_CONCURRENCY)? as usize,
        tenant: tenant(at, raw.tenant.as_ref())?,
        dependencies: dependencies(at, raw.dependencies.as_ref(), handlers)?,
        write_ahead: at.choice(
            "audit",
            raw.audit.as_ref(),
            false,
            &[("before_commit", false), ("write_ahead", true)],
        )?,
    })
}

/// What is declared, and the endpoints that all events of the route go to.
fn dependencies(at: At<'_>, value: Option<&Value>, handlers: &[String]) -> Result<Vec<Dependency>, RoutesError> {
    const KEY: &str = "dependencies";
    let mut names = value.map_or_else(|| Ok(Vec::new()), |value| at.texts(KEY, value))?;
    if let Some(unknown) = names.iter().find(|name| !DEPENDENCIES.contains(&name.as_str())) {
        return Err(at.refuse(KEY, format!("{unknown:?}"), DEPENDENCIES.join(", ")));
    }
    names.extend(handlers.iter().filter(|name| name.starts_with(HTTP_ENDPOINT)).cloned());
    Ok(names.iter().map(|name| Dependency::new(name)).collect())
}

/// What cannot stay parked goes on to a retry topic where there is one; under strict order the lane halts.
fn overflow(at: At<'_>, value: Option<&Value>, ordering: Ordering, retry: &Policy) -> Result<Overflow, RoutesError> {
    let all = [("retry_topic", Overflow::RetryTopic), ("dead_letter", Overflow::DeadLetter), ("halt", Overflow::Halt)];
    let (default, allowed) = match (ordering, retry.tiers.is_empty()) {
        (Ordering::Strict, _) => (Overflow::Halt, &all[1..]),
        (_, true) => (Overflow::DeadLetter, &all[1..]),
        (_, false) => (Overflow::RetryTopic, &all[..]),
    };
    at.choice("retry.overflow", value, default, allowed)
}

fn tiers(at: At<'_>, value: Option<&Value>, topics: &Patterns, known: &Known) -> Result<Vec<Duration>, RoutesError> {
    const KEY: &str = "retry.topics";
    let Some(value) = value else { return Ok(Vec::new()) };
    let Some(items) = value.as_array().filter(|items| items.len() <= MAX_TIERS) else {
        return Err(at.refuse(KEY, value, format!("a list of at most {MAX_TIERS} rising delays, such as [5s, 1m]")));
    };
    let mut tiers: Vec<Duration> = Vec::with_capacity(items.len());
    for item in items {
        let tier = at.duration(KEY, Some(item), MILLISECOND, MILLISECOND..=MAX_TIER)?;
        if tiers.last().is_some_and(|last| *last >= tier) {
            return Err(at.refuse(KEY, value, "rising delays"));
        }
        tiers.push(tier);
    }
    for (topic, declared) in known.topics.iter().filter(|(topic, _)| topics.matches(topic)) {
        if let Some(undeclared) = tiers.iter().find(|tier| !declared.contains(tier)) {
            let names: Vec<_> = declared.iter().map(|tier| delay::format(*tier)).collect();
            let allowed = format!("the retry tiers declared for topic {topic}: {}", names.join(", "));
            return Err(at.refuse(KEY, delay::format(*undeclared), allowed));
        }
    }
    Ok(tiers)
}
