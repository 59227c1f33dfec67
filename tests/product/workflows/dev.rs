//! Workflows in `coafi dev`: everything in one process.

use crate::process::Process;
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::world::coafi;

const COMMITS: u64 = 3;

/// Events that are handled without a failure.
fn processed(workflows: bool) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::init(directory.path().join("repository"));
    for n in 0..COMMITS {
        repository.commit_file("docs/a.md", &format!("# Revision {n}\n"));
    }
    let mut command = coafi(&Stack::nowhere(), directory.path());
    command.args(["dev", "--once", "--output", "json", "--repo"]).arg(&repository.path);
    command.args(workflows.then_some("--workflows"));
    let ended = Process::start(command).ended();
    let summary = ended.json();
    assert_eq!(summary["events"]["dead_lettered"], 0, "{summary}");
    summary["events"]["processed"].as_u64().unwrap()
}

#[test]
fn a_history_is_handled_with_its_workflows_where_that_is_asked_for() {
    assert_eq!(processed(false), COMMITS);
    // Each commit asks for a run, which has one step and an end.
    assert_eq!(processed(true), COMMITS * 4);
}
