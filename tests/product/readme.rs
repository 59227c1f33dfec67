//! The README's commands, in order, as a newcomer types them.

use std::path::Path;
use std::process::Command;

use coafi_testcontainers::Kafka;
use serde_json::Value;

use crate::process::{Ended, Process};
use crate::stack::{Database, Stack, unique};
use crate::world::{clean, point_at, repository};

/// What is not run here: this test is inside of one of them already, and its stack stands for `make up`.
const DONE_ALREADY: [&str; 5] = ["make test", "make up", "make down", "make build", "export PATH="];

#[test]
fn the_commands_of_the_readme_do_what_they_say() {
    let blocks = shell_blocks("README.md");
    assert_eq!(blocks.len(), 2, "README.md: two blocks of commands: {blocks:?}");
    let kafka = Kafka::start().unwrap();
    let stack = Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() };
    let database = Database::create(&stack.postgres, &unique("readme"));
    let newcomer = Newcomer { stack, database, directory: tempfile::tempdir().unwrap() };
    let mut run = 0;
    for line in blocks.iter().flatten() {
        if DONE_ALREADY.iter().any(|done| line.starts_with(done)) {
            continue;
        }
        let line = if line == "make run" { format!("{} --once", recipe("run")) } else { line.clone() };
        assert!(line.starts_with("coafi "), "README.md names {line:?}, which this test cannot judge");
        newcomer.types(&line).well();
        run += 1;
    }
    assert_eq!(run, 6, "make run, topics, schemas, connect, consume, lag");
    newcomer.has_everything_handled();
}

struct Newcomer {
    stack: Stack,
    database: Database,
    directory: tempfile::TempDir,
}

impl Newcomer {
    /// In the clone, with `coafi` in the PATH.
    fn types(&self, line: &str) -> Ended {
        let mut command = Command::new("sh");
        clean(&mut command);
        point_at(&mut command, &self.stack);
        let binary = Path::new(env!("CARGO_BIN_EXE_coafi")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        command
            .args(["-c", line])
            .current_dir(repository())
            .env("PATH", path)
            .env("COAFI__DATABASE__URL", self.database.url())
            // The clone stays as it is.
            .env("COAFI__ARTIFACTS__URL", self.directory.path().join("artifacts"))
            .env("COAFI__GIT__CACHE_DIR", self.directory.path().join("git"));
        Process::start(command).ended()
    }

    fn has_everything_handled(&self) {
        let lag: Value = self.types("coafi group lag --output json").json();
        assert_eq!(lag["total"], 0, "{lag}");
        let head = self.types("git rev-parse HEAD").well();
        let branch = self.types("git branch --show-current").well();
        let handled = self.database.number("SELECT count(*) FROM inbox");
        assert!(handled > 0);
        // Without a branch there is no event of it: a checkout of a commit has none.
        if !branch.trim().is_empty() {
            let id = format!("{}@{}", branch.trim(), head.trim());
            let story = self.types(&format!("coafi event show '{id}'")).well();
            assert!(story.contains("EVENT_PROCESSED"), "{story}");
        }
    }
}

/// The commands of every `sh` block, without comments and empty lines.
fn shell_blocks(file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(repository().join(file)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let command = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    blocks.map(|block| block.lines().map(command).filter(|line| !line.is_empty()).collect()).collect()
}

/// The `coafi` that a target of the Makefile runs at last, without its variables.
fn recipe(target: &str) -> String {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
    let recipe = makefile.split(&format!("\n{target}:")).nth(1).expect("the target").split("\n\n").next().unwrap();
    let line = recipe.lines().last().unwrap();
    let (_, arguments) = line.split_once("/coafi ").unwrap_or_else(|| panic!("`make {target}` runs {line:?}"));
    format!("coafi {}", arguments.replace("$(ARGS)", "").trim())
}
