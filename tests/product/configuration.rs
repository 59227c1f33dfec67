//! A configuration that is wrong ends the program at once, with exit code 2 and words that help.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Ended, Process};
use crate::stack::Stack;
use crate::world::{clean, coafi, repository};

fn run(directory: &Path, args: &[&str]) -> Ended {
    let mut command: Command = coafi(&Stack::nowhere(), directory);
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
    let mut command = coafi(&Stack::nowhere(), directory.path());
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
        (
            "routes: [{name: a, match: {type: t}, handler: log, dependencies: [databse]}]",
            &["r.yaml", "databse", "schema-registry"],
        ),
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

/// The image's working directory belongs to root and the process is somebody else: whatever is kept needs an absolute path
/// in the volume.
#[test]
fn the_image_keeps_everything_in_its_volume() {
    let dockerfile = std::fs::read_to_string(repository().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let instruction = |name: &str| {
        let values: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim).collect();
        values.last().unwrap_or_else(|| panic!("Dockerfile: no {name}")).to_string()
    };
    let volume = instruction("VOLUME ");
    assert!(dockerfile.contains(&format!("--home-dir {volume} --create-home")), "{volume} belongs to the user");
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
    clean(&mut command);
    for variable in instruction("ENV ").split_whitespace() {
        let (name, value) = variable.split_once('=').expect("NAME=value");
        command.env(name, value);
    }
    command.current_dir(&directory).args(["config", "show", "--output", "json"]);
    let entries: serde_json::Value = Process::start(command).ended().json();
    for entry in entries.as_array().expect("a list") {
        let (key, value) = (entry["key"].as_str().unwrap(), entry["value"].as_str().unwrap());
        assert!(!value.starts_with(".coafi"), "{key}: {value} is below the image's working directory");
        let value = value.trim_start_matches("file://");
        let kept = ["artifacts.url", "git.cache_dir"].contains(&key);
        assert!(!kept || Path::new(value).starts_with(&volume), "{key}: {value} is not in {volume}");
    }
}

/// As `consume` and `dev` do, which run with them.
#[test]
fn without_a_routes_file_the_built_in_routes_are_looked_at() {
    let directory = TempDir::new().unwrap();
    let lint = run(directory.path(), &["routes", "lint"]);
    assert_eq!(lint.code(), Some(0), "{}", lint.stderr);
    assert!(lint.stderr.contains("there is no handler_routes.yaml here"), "{}", lint.stderr);
    let explained = run(directory.path(), &["routes", "explain", "--type", "git.commit"]).well();
    assert!(explained.contains("git_commit"), "{explained}");
}
