//! A configuration that is wrong ends the program at once, with exit code 2 and words that help.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Ended, Process};
use crate::stack::Stack;
use crate::world::coafi;

/// Nothing here gets as far as a server.
fn nowhere() -> Stack {
    let refused = "127.0.0.1:1";
    Stack {
        kafka: refused.into(),
        registry: format!("http://{refused}"),
        postgres: format!("postgres://c@{refused}/c"),
    }
}

fn run(directory: &Path, args: &[&str]) -> Ended {
    let mut command: Command = coafi(&nowhere(), directory);
    command.args(args);
    Process::start(command).ended()
}

/// `files` are written first; every one of `words` must be said.
fn refused(files: &[(&str, &str)], args: &[&str], words: &[&str]) {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let ended = run(directory.path(), args);
    assert_eq!(ended.code(), Some(2), "{args:?} with {files:?}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{args:?} with {files:?} does not say {word:?}: {}", ended.stderr);
    }
}

#[test]
fn a_missing_file_is_named() {
    refused(&[], &["consume", "--config", "gone.yaml"], &["gone.yaml", "does not exist", "--config"]);
    refused(&[], &["dev", "--once", "--config", "gone.yaml"], &["gone.yaml", "does not exist"]);
}

#[test]
fn an_empty_file_is_all_defaults() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("coafi.yaml"), "").unwrap();
    let shown = run(directory.path(), &["config", "show"]).well();
    assert!(shown.contains("kafka.group_id") && shown.contains("coafi"), "{shown}");
}

#[test]
fn a_mistyped_file_is_named_with_key_value_and_what_is_allowed() {
    let check = |text: &str, words: &[&str]| {
        let all = [&["coafi.yaml"], words].concat();
        for command in ["consume", "dev"] {
            refused(&[("coafi.yaml", text)], &[command], &all);
        }
    };
    check("kafka: {gruop_id: x}", &["kafka.gruop_id", "did you mean \"group_id\""]);
    check("kafka: {commit: {interval: fast}}", &["kafka.commit.interval", "\"fast\"", "allowed: a duration"]);
    check("engine: {max_records: -1}", &["engine.max_records", "-1", "allowed"]);
    check("workers: 7", &["workers", "7"]);
    check("kafka: {delivery: exactly_once}", &["kafka.delivery", "exactly_once", "transactional, at_least_once"]);
    check("kafka: [unclosed", &["not YAML", "line 1"]);
    check("just words", &["not YAML"]);
}

#[test]
fn a_wrong_variable_is_named() {
    let directory = TempDir::new().unwrap();
    let mut command = coafi(&nowhere(), directory.path());
    command.arg("consume").env("COAFI__ENGINE__MAX_RECORDS", "plenty");
    let ended = Process::start(command).ended();
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
    for word in ["COAFI__ENGINE__MAX_RECORDS", "plenty", "allowed"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
}

#[test]
fn wrong_routes_and_topics_are_named() {
    let routes = |text| [("coafi.yaml", "routes_file: r.yaml"), ("r.yaml", text)];
    let lint = ["routes", "lint"];
    for (text, words) in [
        ("", &["r.yaml"][..]),
        ("routes: []", &["r.yaml", "routes"]),
        ("routes: [{name: a, match: {type: t}, handler: gti_commit}]", &["r.yaml", "gti_commit", "git_commit"]),
        ("routes: [{name: a, match: {type: t}, handler: log, deadline: soon}]", &["r.yaml", "deadline", "soon"]),
    ] {
        let directory = TempDir::new().unwrap();
        for (name, text) in routes(text) {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let ended = run(directory.path(), &lint);
        assert!(!ended.status.success(), "{text:?} is no routes file");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{text:?}: {said}");
    }
    refused(&[("coafi.yaml", "routes_file: gone.yaml")], &["routes", "lint"], &["gone.yaml"]);
}
