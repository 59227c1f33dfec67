//! Repositories in a bad state.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::event::{attributes, commit_data};
use crate::process::Ended;
use crate::repositories::Repository;
use crate::topic::{Positions, Record, read};
use crate::world::World;

/// `coafi dev --once` over the repository: everything in one process.
fn dev(world: &World, repository: &str) -> Ended {
    world.run(&["dev", "--once", "--repo", repository, "--output", "json"])
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
    let world = World::new("missing");
    fs::create_dir(world.path("folder")).unwrap();
    for name in ["gone", "folder"] {
        let ended = dev(&world, world.path(name).to_str().unwrap());
        assert_eq!(ended.code(), Some(1), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(name), "{}", ended.stderr);
    }
}

#[test]
fn an_empty_repository_has_no_events() {
    let world = World::new("empty");
    let summary = dev(&world, &Repository::init(world.path("empty")).url()).json();
    assert_eq!(counts(&summary), (0, 0));
}

#[test]
fn a_shallow_clone_has_the_events_of_what_it_holds() {
    let world = World::new("shallow");
    let whole = three_commits(world.path("whole"));
    let shallow = world.path("shallow");
    whole.git(&["clone", "-q", "--depth", "2", &format!("file://{}", whole.url()), shallow.to_str().unwrap()]);
    let summary = dev(&world, shallow.to_str().unwrap()).json();
    // Two commits and the push that brought them.
    assert_eq!(counts(&summary), (3, 3), "{summary}");
}

#[test]
fn a_corrupt_repository_is_named_and_nothing_hangs() {
    for kind in ["commit", "tree", "blob"] {
        let world = World::new("corrupt");
        let repository = three_commits(world.path("corrupt"));
        truncate(&repository, match kind {
            "commit" => "HEAD~1",
            "tree" => "HEAD~1^{tree}",
            _ => "HEAD~1:docs/a.md",
        });
        let ended = dev(&world, &repository.url());
        let told = ended.stderr.contains("corrupt") || ended.stdout.contains("\"dead_lettered\":1");
        assert!(ended.code() == Some(1) && told || ended.code() == Some(0) && told, "{kind}: {ended:?}");
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
    world.also_declare("coafi.git");
    let repository = three_commits(world.path("forced"));
    let first = repository.lines(&["rev-list", "--reverse", "HEAD"]);
    let connect = || world.run(&["connect", "git", "--once", "--repo", &repository.url(), "--output", "json"]).json();
    assert_eq!(connect()["events"], 4, "three commits and a push");
    repository.git(&["reset", "-q", "--hard", "HEAD~2"]);
    let new = repository.commit_file("docs/b.md", "# Another history\n");
    repository.git(&["reflog", "expire", "--expire=now", "--all"]);
    repository.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(connect()["events"], 2, "a commit and a push");
    assert_eq!(connect()["events"], 0);

    let all = read(&world.stack.kafka, "coafi.git", &Positions::new());
    let key = repository.url();
    let ours: Vec<&Record> = all
        .iter()
        .map(|read| &read.record)
        .filter(|record| record.key.as_deref().is_some_and(|k| String::from_utf8_lossy(k).contains(&key)))
        .collect();
    let commits: Vec<&str> = ours
        .iter()
        .filter(|record| record.header("ce_type") == Some("git.commit"))
        .map(|record| record.header("ce_id").unwrap().trim_start_matches("main@"))
        .collect();
    assert_eq!(commits, [&first[..], &[new]].concat());
}

/// Its event is older than the repository: a forced push and `git gc` took the commit.
#[test]
fn a_commit_that_is_gone_is_dead_lettered_and_the_next_goes_on() {
    let world = World::new("gone");
    let repository = three_commits(world.path("repository"));
    let event = |url: &str, sha: &str| Record {
        key: Some("key".into()),
        value: Some(world.commits.encode(&commit_data(url, sha))),
        ..attributes("git.commit", "/product")
    };
    let gone = event(&repository.url(), &"7".repeat(40));
    let nowhere = event(world.path("nowhere").to_str().unwrap(), &"7".repeat(40));
    let good = event(&repository.url(), &repository.head());
    for event in [&gone, &nowhere, &good] {
        world.send(event);
    }
    world.consume();
    assert_eq!(world.end_of(&good).outcome, "processed");
    for event in [&gone, &nowhere] {
        assert_eq!(world.end_of(event).outcome, "dead_lettered");
    }
    assert_eq!(world.dead_letters().len(), 2);
}
