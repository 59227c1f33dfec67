//! Repositories in a bad state.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::event::{attributes, commit_data};
use crate::process::{Ended, Process, eventually};
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::topic::{Positions, Record, read};
use crate::world::{GIT_TOPIC, World, coafi};

/// `coafi dev --once` over the repository: everything in one process, nothing of it shared.
fn dev(directory: &Path, repository: &Path) -> Ended {
    let mut command = coafi(&Stack::nowhere(), directory);
    command.args(["dev", "--once", "--output", "json", "--repo"]).arg(repository);
    Process::start(command).ended()
}

/// All events, and those that were processed.
fn counts(summary: &Value) -> (u64, u64) {
    let events = &summary["events"];
    (events["polled"].as_u64().unwrap(), events["processed"].as_u64().unwrap())
}

fn three_commits(path: impl AsRef<Path>) -> Repository {
    let repository = Repository::init(path.as_ref());
    for n in 0..3 {
        repository.commit_file("docs/a.md", &format!("# Revision {n}\n"));
    }
    repository
}

#[test]
fn a_repository_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("folder")).unwrap();
    for name in ["gone", "folder"] {
        let ended = dev(directory.path(), &directory.path().join(name));
        assert_eq!(ended.code(), Some(1), "{name}: {}", ended.stderr);
        let error = ended.stderr.lines().find(|line| line.starts_with("error: ")).expect(&ended.stderr);
        assert!(error.contains(&format!("/{name}")), "{error}");
        assert_eq!(ended.stderr.matches("no repository at").count(), 1, "said once: {}", ended.stderr);
        assert!(ended.stderr.contains("\n  next: check that --repo"), "{}", ended.stderr);
    }
}

#[test]
fn an_empty_repository_has_no_events() {
    let directory = tempfile::tempdir().unwrap();
    let empty = Repository::init(directory.path().join("empty"));
    let ended = dev(directory.path(), &empty.path);
    assert!(ended.stderr.contains("There is nothing to handle"), "{}", ended.stderr);
    assert_eq!(counts(&ended.json()), (0, 0));
}

/// Its history is not all there: what it has would be the wrong changes of its first commit.
#[test]
fn a_shallow_clone_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let whole = three_commits(directory.path().join("whole"));
    let shallow = directory.path().join("clone");
    whole.git(&["clone", "-q", "--depth", "2", &format!("file://{}", whole.url()), shallow.to_str().unwrap()]);
    let ended = dev(directory.path(), &shallow);
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("git fetch --unshallow"), "{}", ended.stderr);
    Repository { path: shallow.clone() }.git(&["fetch", "-q", "--unshallow"]);
    assert_eq!(counts(&dev(directory.path(), &shallow).json()), (3, 3));
}

/// What cannot be read is named, by the connector or by a dead letter; what can be read is handled.
#[test]
fn a_corrupt_object_is_named() {
    for (object, stops_the_connector) in [("HEAD~1", true), ("HEAD~1^{tree}", true), ("HEAD~1:docs/a.md", false)] {
        let directory = tempfile::tempdir().unwrap();
        let repository = three_commits(directory.path().join("repository"));
        truncate(&repository, object);
        let ended = dev(directory.path(), &repository.path);
        if stops_the_connector {
            assert_eq!(ended.code(), Some(1), "{object}: {ended:?}");
            assert!(ended.stderr.contains("is corrupt"), "{object}: {}", ended.stderr);
        } else {
            let summary = ended.json();
            assert_eq!(
                (counts(&summary), &summary["events"]["dead_lettered"]),
                ((3, 2), &1.into()),
                "{object}: {summary}"
            );
        }
    }
}

/// As a crash in the middle of writing leaves it.
fn truncate(repository: &Repository, object: &str) {
    let id = repository.git(&["rev-parse", object]);
    let file = repository.path.join(".git/objects").join(&id[..2]).join(&id[2..]);
    let bytes = fs::read(&file).unwrap();
    // Objects are read-only.
    fs::remove_file(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_forced_push_between_two_runs_adds_what_is_new() {
    let world = World::new("forced");
    world.also_declare(GIT_TOPIC);
    let repository = three_commits(world.path("forced"));
    let mut history = repository.lines(&["rev-list", "--reverse", "HEAD"]);
    let connect = || {
        let summary = world.run(&["connect", "git", "--once", "--repo", &repository.url(), "--output", "json"]).json();
        summary["events"].as_u64().unwrap()
    };
    assert_eq!(connect(), 3, "a first look finds commits, and nothing that was pushed");
    repository.git(&["reset", "-q", "--hard", "HEAD~2"]);
    history.push(repository.commit_file("docs/b.md", "# Another history\n"));
    assert_eq!(connect(), 2, "a commit and a push");
    assert_eq!(connect(), 0);
    assert_eq!(published(&world, &repository), history);

    // Where git has thrown away what was published, repeating is safe and skipping is not.
    repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
    history.push(repository.commit_file("docs/c.md", "# A third one\n"));
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "-q", "--prune=now"]);
    assert!(connect() >= 2, "a commit and a push");
    assert_eq!(connect(), 0);
    let known: BTreeSet<String> = published(&world, &repository).into_iter().collect();
    assert_eq!(known, history.into_iter().collect());
}

/// The commits of a repository that have events, in their order.
fn published(world: &World, repository: &Repository) -> Vec<String> {
    let all = read(&world.stack.kafka, GIT_TOPIC, &Positions::new());
    let is_ours = |record: &Record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        record.header("ce_type") == Some("git.commit") && key.contains(&repository.url())
    };
    let ours = all.iter().map(|read| &read.record).filter(|record| is_ours(record));
    ours.map(|record| record.header("ce_id").unwrap().trim_start_matches("main@").to_owned()).collect()
}

/// Its event is older than the repository: a forced push and `git gc` took the commit.
#[test]
fn a_commit_that_is_gone_is_dead_lettered_and_the_next_goes_on() {
    let world = World::new("gone");
    let repository = three_commits(world.path("repository"));
    let gone = commit(&world, &repository.path, &"7".repeat(40));
    let good = commit(&world, &repository.path, &repository.head());
    for event in [&gone, &good] {
        world.send(event);
    }
    world.consume();
    assert_eq!(world.end_of(&good).outcome, "processed");
    let end = world.end_of(&gone);
    assert_eq!((&*end.outcome, end.error_class.as_deref()), ("dead_lettered", Some("permanent")), "{end:?}");
    assert_eq!(world.dead_letters().len(), 1);
}

/// An unmounted disk, say. It is the trouble of that one repository, whose key waits; others in its partition go on.
#[test]
fn a_repository_that_comes_back_has_its_events_handled() {
    let world = World::new("unmounted");
    // As many attempts as it takes: all in place, so that the test does not wait for a retry topic.
    world.change_routes(|routes| {
        routes.replace("{attempts: 2, backoff: {initial: 50ms, cap: 100ms}}, topics: [1s]", PATIENT)
    });
    let away = three_commits(world.path("away"));
    let sha = away.head();
    let elsewhere = world.path("elsewhere");
    fs::rename(&away.path, &elsewhere).unwrap();
    let waits = commit(&world, &away.path, &sha);
    world.send(&waits);
    let others = several_commits(&world);
    for event in &others {
        world.send(event);
    }
    let replica = world.replica();
    world.until_ended(others.len());
    assert!(others.iter().all(|event| world.end_of(event).outcome == "processed"), "while one is missing");
    assert!(!world.outcomes().iter().any(|of| of.is_final() && of.event_id.as_deref() == waits.header("ce_id")));
    fs::rename(&elsewhere, &away.path).unwrap();
    world.until_ended(others.len() + 1);
    replica.terminate();
    assert_eq!(replica.ended().code(), Some(0));
    assert_eq!(world.end_of(&waits).outcome, "processed");
    assert!(world.dead_letters().is_empty());
}

const PATIENT: &str = "{attempts: 100, backoff: {initial: 50ms, cap: 100ms}}";

/// Repositories that never were, say: an event can name any. As many as would be an outage, were they one thing, hold nobody
/// up, and use up their attempts as their route says.
#[test]
fn repositories_that_stay_away_are_dead_lettered_and_stop_no_other() {
    let world = World::new("missing");
    let never = |n| commit(&world, &world.path(&format!("never-{n}")), &"7".repeat(40));
    let missing: Vec<Record> = (0..2 * SAME_ERROR_LANES).map(never).collect();
    let others = several_commits(&world);
    for event in missing.iter().chain(&others) {
        world.send(event);
    }
    world.consume();
    assert!(others.iter().all(|event| world.end_of(event).outcome == "processed"));
    for event in &missing {
        let end = world.end_of(event);
        // Two in place and one after the retry topic.
        let expected = ("dead_lettered", Some("transient"), 3);
        assert_eq!((&*end.outcome, end.error_class.as_deref(), end.attempt), expected, "{end:?}");
    }
    assert_eq!(world.dead_letters().len(), missing.len());
}

/// `engine.circuit.same_error_lanes`, by default.
const SAME_ERROR_LANES: usize = 10;

/// Two commits of each of several repositories.
fn several_commits(world: &World) -> Vec<Record> {
    let repositories = (0..4).map(|n| three_commits(world.path(&format!("here-{n}"))));
    let of = |repository: Repository| {
        let shas = repository.lines(&["rev-list", "--reverse", "-n", "2", "HEAD"]);
        shas.iter().map(|sha| commit(world, &repository.path, sha)).collect::<Vec<_>>()
    };
    repositories.flat_map(of).collect()
}

/// Under the repository's own key.
fn commit(world: &World, repository: &Path, sha: &str) -> Record {
    let url = repository.to_str().unwrap();
    let value = world.commits.encode(&commit_data(url, sha));
    Record { key: Some(url.into()), value: Some(value), ..attributes("git.commit", "/product") }
}

/// The image's HEALTHCHECK asks whatever runs in it.
#[test]
fn a_connector_that_goes_on_serves_its_pages() {
    let world = World::new("watched");
    world.also_declare(GIT_TOPIC);
    let repository = three_commits(world.path("watched"));
    let mut command = world.command(&["connect", "git", "--repo", &repository.url()]);
    command.env("COAFI__LOG__LEVEL", "info");
    let mut connector = Process::start(command);
    connector.until_ready();
    eventually("all is published", || {
        let page = connector.page("/metrics").body;
        page.lines().any(|line| line.starts_with("coafi_source_events_total{") && !line.ends_with(" 0"))
    });
    assert_eq!(connector.page("/health").status, 200);
    connector.terminate();
    assert_eq!(connector.ended().code(), Some(0));
}
