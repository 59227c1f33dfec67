//! The README's commands, in order, as a newcomer types them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use coafi_testcontainers::{Kafka, Service, exports};
use serde_json::Value;

use crate::process::{Ended, Process};
use crate::stack::{Database, Stack, unique};
use crate::world::{clean, repository};

/// Stands for `make` in the PATH, since this test is inside of one of its targets already: the stack is up, `coafi` is
/// built, and `make -s env` prints the lines of the real one, with the addresses of this test's servers.
const MAKE: &str = "#!/bin/sh\ncase \"$*\" in\n  up|build|down|test) ;;\n  '-s env') cat \"$(dirname \"$0\")/env\" ;;\n  \
                    '-s where') echo \"$COAFI_BUILT\" ;;\n  *) echo \"make $*: not in this test\" >&2; exit 2 ;;\nesac\n";

/// The lines that change the shell they are typed in, and with it what every later line does.
const CHANGES_THE_SHELL: [&str; 2] = ["eval ", "export "];

#[test]
fn the_commands_of_the_readme_do_what_they_say() {
    let blocks = shell_blocks("README.md");
    assert_eq!(blocks.len(), 2, "README.md: two blocks of commands: {blocks:?}");
    let kafka = Kafka::start().unwrap();
    let stack = Stack { kafka: kafka.bootstrap_servers(), ..Stack::shared() };
    let newcomer = Newcomer::arrives(stack);
    let mut shell = String::new();
    let mut run = 0;
    for line in blocks.iter().flatten() {
        let line = if line == "make run" { format!("{} --once", recipe("run")) } else { line.clone() };
        if CHANGES_THE_SHELL.iter().any(|start| line.starts_with(start)) {
            shell.push_str(&line);
            shell.push('\n');
            continue;
        }
        assert!(
            ["coafi ", "make "].iter().any(|known| line.starts_with(known)),
            "README.md: {line:?} cannot be judged"
        );
        newcomer.types(&format!("{shell}{line}")).well();
        run += usize::from(line.starts_with("coafi "));
    }
    assert_eq!(run, 6, "make run, topics, schemas, connect, consume, lag");
    newcomer.has_everything_handled(&shell);
}

#[test]
fn make_env_is_what_the_stack_says() {
    assert!(recipe_line("env").contains("$(STACK) env "), "{}", recipe_line("env"));
}

struct Newcomer {
    database: Database,
    directory: tempfile::TempDir,
}

impl Newcomer {
    fn arrives(stack: Stack) -> Self {
        let database = Database::create(&stack.postgres, &unique("readme"));
        let directory = tempfile::tempdir().unwrap();
        let lines = exports(|service| match service {
            Service::Kafka => stack.kafka.clone(),
            Service::Registry => stack.registry.clone(),
            Service::Postgres => database.url(),
        });
        std::fs::write(directory.path().join("env"), lines).unwrap();
        let make = directory.path().join("make");
        std::fs::write(&make, MAKE).unwrap();
        std::fs::set_permissions(&make, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { database, directory }
    }

    /// In the clone, with nothing set but a free port for the pages and a place outside of the clone, which stays as it is.
    fn types(&self, lines: &str) -> Ended {
        let mut command = Command::new("sh");
        clean(&mut command);
        let binary = Path::new(env!("CARGO_BIN_EXE_coafi")).parent().unwrap();
        let path =
            format!("{}:{}:{}", self.directory.path().display(), binary.display(), std::env::var("PATH").unwrap());
        command
            .args(["-ec", lines])
            .current_dir(repository())
            .env("PATH", path)
            .env("COAFI_BUILT", binary)
            .env("COAFI__HTTP__LISTEN", "127.0.0.1:0")
            .env("COAFI__ARTIFACTS__URL", self.directory.path().join("artifacts"))
            .env("COAFI__GIT__CACHE_DIR", self.directory.path().join("git"));
        Process::start(command).ended()
    }

    fn has_everything_handled(&self, shell: &str) {
        let lag: Value = self.types(&format!("{shell}coafi group lag --output json")).json();
        assert_eq!(lag["total"], 0, "{lag}");
        let head = self.types("git rev-parse HEAD").well();
        let branch = self.types("git branch --show-current").well();
        let handled = self.database.number("SELECT count(*) FROM inbox");
        assert!(handled > 0);
        // Without a branch there is no event of it: a checkout of a commit has none.
        if !branch.trim().is_empty() {
            let id = format!("{}@{}", branch.trim(), head.trim());
            let story = self.types(&format!("{shell}coafi event show '{id}'")).well();
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
    let line = recipe_line(target);
    let (_, arguments) = line.split_once("/coafi ").unwrap_or_else(|| panic!("`make {target}` runs {line:?}"));
    format!("coafi {}", arguments.replace("$(ARGS)", "").trim())
}

/// The last line of a target of the Makefile.
fn recipe_line(target: &str) -> String {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
    let recipe = makefile.split(&format!("\n{target}:")).nth(1).expect("the target").split("\n\n").next().unwrap();
    recipe.lines().last().unwrap().to_owned()
}
