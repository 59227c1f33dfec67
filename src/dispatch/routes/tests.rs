use std::time::Duration;

use super::*;
use crate::engine::{Exhausted, HandlerList, Ordering, Overflow, TenantPolicy, TenantQuota};

fn known() -> Known {
    let tiers = [5, 60, 600].map(Duration::from_secs).to_vec();
    Known {
        handlers: ["git_commit", "log", "noop"].map(str::to_owned).into(),
        topics: [("coafi.git".to_owned(), tiers), ("coafi.api".to_owned(), vec![])].into(),
    }
}

fn parse(text: &str) -> Result<Routes, RoutesError> {
    Routes::parse("handler_routes.yaml", text, &known())
}

/// A file of one route with these further lines.
fn one(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    format!("routes:\n  - name: r\n    match: {{type: git.commit, topic: coafi.git}}\n    {lines}\n")
}

#[test]
fn a_short_route_has_the_documented_defaults() {
    let routes = parse(&one("handler: noop")).unwrap();
    let route = &routes.list()[0];
    assert_eq!((route.deadline, route.policy.write_ahead, route.enabled), (Duration::from_secs(30), false, true));
    assert_eq!(route.policy.ordering, Ordering::Key);
    assert_eq!(route.policy.overflow, Overflow::DeadLetter);
    assert_eq!(route.policy.exhausted, Exhausted::DeadLetter);
    assert_eq!((route.policy.retry.in_place_attempts, route.policy.retry.fault_attempts), (3, 2));
    assert_eq!(route.policy.concurrency, 256);
    assert!(!route.continue_after_loss);
}

#[test]
fn every_key_is_read() {
    let routes = parse(&one("filter: event.subject != ''
handlers: [git_commit, log]
ordering: partition
retry:
  in_place: {attempts: 4, backoff: {initial: 100ms, cap: 2s}}
  topics: [5s, 10m]
  fault_attempts: 3
  exhausted: halt
  overflow: dead_letter
rate_limit: {per_second: 100, burst: 10}
concurrency: 8
tenant: {concurrency: 2, rate_limit: {per_second: 7}}
deadline: 1m
dependencies: [database, artifacts]
audit: write_ahead
enabled: false
on_loss: continue"))
    .unwrap();
    let route = &routes.list()[0];
    assert_eq!(route.handlers, ["git_commit", "log"]);
    let retry = &route.policy.retry;
    assert_eq!((retry.in_place_attempts, retry.fault_attempts, retry.max_attempts()), (4, 3, 6));
    assert_eq!(retry.tiers, [Duration::from_secs(5), Duration::from_secs(600)]);
    assert_eq!(route.rate_limit.map(|l| (l.per_second.get(), l.burst.get())), Some((100, 10)));
    let quota = Some(TenantQuota { per_second: 7, burst: 7 });
    assert_eq!(route.policy.tenant, TenantPolicy { concurrency: 2, quota });
    assert_eq!((route.policy.exhausted, route.policy.overflow), (Exhausted::Halt, Overflow::DeadLetter));
    assert_eq!((route.policy.write_ahead, route.enabled, route.continue_after_loss), (true, false, true));
    assert_eq!(
        route.policy.dependencies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["database", "artifacts"]
    );
}

#[test]
fn a_dependency_that_nobody_probes_is_refused() {
    let error = parse(&one("handler: noop\ndependencies: [artifacts, databse]")).unwrap_err().to_string();
    let expected =
        "route \"r\": dependencies: \"databse\" is not allowed; allowed: database, schema-registry, artifacts";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_list_of_handlers_is_another_one_in_another_order() {
    let list = |names: &str| parse(&one(&format!("handlers: [{names}]"))).unwrap().list()[0].policy.handlers;
    assert_eq!(list("git_commit, log"), list("git_commit, log"));
    let all = ["git_commit, log", "log, git_commit", "log", "git_commit, log, noop"].map(list);
    assert!((1..all.len()).all(|index| !all[..index].contains(&all[index])), "{all:?}");
    // In offset maps: whoever takes over, of another release too, makes the same of it.
    assert_eq!(list("git_commit, log"), HandlerList(6_394_922_823_551_083_254));
}

#[test]
fn a_route_has_as_many_handlers_as_an_offset_map_has_bits() {
    let parse = |count: usize| {
        let names: Vec<_> = (0..count).map(|index| format!("h{index}")).collect();
        let known = Known { handlers: names.iter().cloned().collect(), ..known() };
        Routes::parse("r.yaml", &one(&format!("handlers: [{}]", names.join(", "))), &known)
    };
    assert_eq!(parse(16).unwrap().list()[0].handlers.len(), 16);
    let refused = parse(17).unwrap_err().to_string();
    assert!(refused.contains("a list of 17") && refused.contains("at most 16 handlers"), "{refused}");
}

#[test]
fn a_name_of_a_family_that_is_none_is_told_those_there_are() {
    let refused = |handlers: &[&str], name: &str| {
        let known = Known { handlers: handlers.iter().map(|&name| name.to_owned()).collect(), ..known() };
        Routes::parse("r.yaml", &one(&format!("handler: {name}")), &known).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refused(&["log", "http:enrich"], "http:enrich"), Ok(()));
    let other = refused(&["log", "http:enrich", "http:score"], "http:enrihc").unwrap_err();
    assert!(other.ends_with("http:enrich, http:score"), "{other}");
    let none = refused(&["log"], "http:enrich").unwrap_err();
    assert!(none.contains("none that begins with http:"), "{none}");
    let own = refused(&["log", "http:enrich"], "lgo").unwrap_err();
    assert!(own.ends_with(" log"), "{own}");
}

#[test]
fn an_error_names_file_route_key_value_and_what_is_allowed() {
    let check = |lines: &str, parts: &[&str]| {
        let message = parse(&one(lines)).unwrap_err().to_string();
        for part in ["handler_routes.yaml", "\"r\""].iter().chain(parts) {
            assert!(message.contains(part), "{lines}: {message:?} lacks {part:?}");
        }
    };
    check("handler: nop", &["handler", "\"nop\"", "git_commit, log, noop"]);
    check("handlers: []", &["handlers", "at least one"]);
    check("handlers: [log, log]", &["handlers", "each handler once"]);
    check("handler: log\nhandlers: [log]", &["not both"]);
    check("ordering: key", &["handler is missing"]);
    check("handler: log\nordering: keys", &["ordering", "\"keys\"", "partition, key, strict, none"]);
    check("handler: log\nfilter: event.type ==", &["filter", "line 1", "event.type =="]);
    check("handler: log\ndeadline: 30", &["deadline", "30", "ms, s, m or h"]);
    check("handler: log\ndeadline: 2h", &["deadline", "1ms to 1h"]);
    check("handler: log\nconcurrency: 0", &["concurrency", "0", "1 to 100000"]);
    check("handler: log\nretry: {in_place: {attempts: -1}}", &["retry.in_place.attempts", "-1", "1 to 100"]);
    check("handler: log\nretry: {topics: [5s, 7s]}", &["retry.topics", "7s", "coafi.git", "5s, 1m, 10m"]);
    check("handler: log\nretry: {topics: [1m, 5s]}", &["retry.topics", "rising"]);
    check("handler: log\nordering: strict\nretry: {topics: [5s]}", &["retry.topics", "strict"]);
    check("handler: log\nordering: strict\nretry: {overflow: retry_topic}", &["overflow", "dead_letter, halt"]);
    check("handler: log\nretry: {overflow: retry_topic}", &["overflow", "dead_letter, halt"]);
    check("handler: log\nretry: {fault_attempts: 9}", &["fault_attempts", "9", "1 to 3"]);
    check("handler: log\nretry: {in_place: {backoff: {initial: 10s}}}", &["backoff.cap", "at least the initial 10s"]);
    check("handler: log\nrate_limit: {burst: 1}", &["rate_limit.per_second"]);
    check("handler: log\ntenant: {concurrency: 0}", &["tenant.concurrency", "0", "1 to 100000"]);
    check("handler: log\ntenant: {rate_limit: {burst: 1}}", &["tenant.rate_limit.per_second"]);
    check("handler: log\nenabled: maybe", &["enabled", "maybe", "true, false"]);
    check("handler: log\non_loss: ignore", &["on_loss", "ignore", "halt, continue"]);
    check("handler: log\nretries: 3", &["retries", "ordering", "line"]);
    check("handler: log\nretry: {in_places: 1}", &["in_places", "in_place"]);
}

#[test]
fn a_file_of_another_shape_is_refused() {
    for (text, part) in [
        ("", "empty"),
        ("routes: []", "1 to"),
        ("routes: 3", "routes"),
        ("paths: []", "paths"),
        ("routes: [", "line"),
        ("routes:\n  - match: {type: a}\n    handler: log\n", "name is missing"),
        (
            "routes:\n  - {name: a, match: {type: a}, handler: log}\n  - {name: a, match: {type: b}, handler: log}\n",
            "name: a is not allowed",
        ),
        ("routes:\n  - {name: a, match: {source: b}, handler: log}\n", "match.type is missing"),
        ("routes:\n  - {name: a, match: {type: \"git.[\"}, handler: log}\n", "git.["),
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("handler_routes.yaml"), "{text:?}: {message}");
    }
}

const THREE: &str = "routes:
  - {name: commits, match: {type: git.commit, topic: coafi.git}, handler: git_commit}
  - {name: rest-of-one, match: {type: 'git.*', source: 'https://one/*'}, handler: log}
  - {name: api, match: {type: [api.request, api.reply]}, handler: noop, retry: {in_place: {attempts: 2}}}
";

#[test]
fn the_first_match_in_file_order_wins() {
    let routes = parse(THREE).unwrap();
    let cache = RouteCache::new(&routes);
    for (topic, event_type, source, expected) in [
        ("coafi.git", "git.commit", "https://one/a", Some(0)),
        ("coafi.api", "git.commit", "https://one/a", Some(1)),
        ("coafi.git", "git.tag", "https://one/a", Some(1)),
        ("coafi.git", "git.tag", "https://two/a", None),
        ("coafi.api", "api.reply", "x", Some(2)),
    ] {
        let expected = expected.map(RouteId);
        assert_eq!(routes.find(topic, event_type, source), expected, "{topic} {event_type} {source}");
        for _ in 0..2 {
            assert_eq!(cache.find(&routes, topic, event_type, source), expected);
        }
    }
}

#[test]
fn a_full_cache_still_answers_rightly() {
    let routes = parse(THREE).unwrap();
    let cache = RouteCache::new(&routes);
    for n in 0..20_000 {
        let source = format!("https://{}/{n}", if n % 2 == 0 { "one" } else { "two" });
        assert_eq!(cache.find(&routes, "t", "git.tag", &source), routes.find("t", "git.tag", &source));
    }
    let long = "x".repeat(2_000);
    assert_eq!(cache.find(&routes, "t", "api.reply", &long), Some(RouteId(2)));
}

#[test]
fn lint_finds_what_cannot_be_reached() {
    let routes = parse(
        "routes:
  - {name: all-git, match: {type: 'git.*'}, handler: log}
  - {name: commits, match: {type: git.commit, topic: coafi.git}, handler: git_commit}
  - {name: off, match: {type: api.request}, handler: log, enabled: false}
  - {name: ordered, match: {type: x, topic: coafi.git}, handler: log, ordering: partition, retry: {topics: [5s]}}
  - {name: misspelt, match: {type: y, topic: [coafi.gti, other.*]}, handler: log}
",
    )
    .unwrap();
    let topics = ["coafi.api", "coafi.git"];
    let warnings: Vec<_> = routes.lint(&topics).iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings[0].contains("\"commits\" is unreachable") && warnings[0].contains("\"all-git\""));
    assert!(warnings[1].contains("\"off\" is disabled"));
    assert!(warnings[2].contains("\"ordered\""));
    assert!(warnings[3].contains("\"misspelt\" is unreachable: it matches no topic"));
    assert_eq!(parse(THREE).unwrap().lint(&topics), []);
}

#[test]
fn a_topic_goes_on_after_a_loss_only_if_all_its_routes_say_so() {
    let routes = parse(
        "routes:
  - {name: a, match: {type: a, topic: coafi.git}, handler: log, on_loss: continue}
  - {name: b, match: {type: b, topic: coafi.*}, handler: log}
  - {name: c, match: {type: c, topic: other}, handler: log, on_loss: continue}
",
    )
    .unwrap();
    for (topic, expected) in [("coafi.git", false), ("other", true), ("other.retry.5s", true), ("nobodys", false)] {
        assert_eq!(routes.continue_after_loss(topic), expected, "{topic}");
    }
}

#[test]
fn the_version_follows_the_content_and_not_the_layout() {
    let version = |text: &str| parse(text).unwrap().version().to_owned();
    let reordered =
        "# a comment\nroutes:\n- handler: noop\n  match:\n    topic: coafi.git\n    type: git.commit\n  name: r\n";
    assert_eq!(version(&one("handler: noop")), version(reordered));
    assert_ne!(version(&one("handler: noop")), version(&one("handler: log")));
    assert_eq!(version(THREE).len(), 16);
}

#[test]
fn explain_tells_the_way_to_the_dead_letter() {
    let routes =
        parse(&one("handler: log\nretry: {in_place: {attempts: 3, backoff: {initial: 1s, cap: 90s}}, topics: [5s]}"));
    let (explanation, id) = routes.unwrap().explain("coafi.git.retry.5s", "git.commit", "s");
    assert_eq!((id, explanation.route.as_deref()), (Some(RouteId(0)), Some("r")));
    let steps: Vec<_> = explanation.retry.iter().map(|s| (s.attempt, s.place.as_str(), s.after.as_str())).collect();
    assert_eq!(
        steps,
        [
            (Some(2), "in place", "up to 1s"),
            (Some(3), "in place", "up to 2s"),
            (Some(4), "coafi.git.retry.5s", "5s"),
            (None, "coafi.git.dlq", ""),
        ]
    );
    let (none, id) = parse(THREE).unwrap().explain("coafi.git", "git.tag", "https://two/a");
    assert_eq!((id, none.route.clone(), none.candidates.len()), (None, None, 3));
    assert!(none.candidates[1].refused_by.as_deref().is_some_and(|why| why.contains("source")));
}
