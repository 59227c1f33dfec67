//! The commands of docs/other-tools.md, as they stand there, on a cluster of a test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::tools::{interpreter, printed, tool_script};
use crate::world::{World, clean, repository};

/// Kafka's scripts that the page names, and what each starts.
const SCRIPTS: [(&str, &str); 3] = [
    ("kafka-consumer-groups.sh", "consumer.group.ConsumerGroupCommand"),
    ("kafka-get-offsets.sh", "GetOffsetShell"),
    ("kafka-transactions.sh", "TransactionsCommand"),
];

/// Runs the page's blocks in their order; each line prints something.
pub(crate) fn does_what_it_says(world: &World) {
    let text = std::fs::read_to_string(repository().join("docs/other-tools.md")).unwrap();
    let scripts = tempfile::tempdir().unwrap();
    for (name, class) in SCRIPTS {
        install(&scripts.path().join(name), &tool_script(class));
    }
    install(&scripts.path().join("coafi"), &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_coafi")));
    let mut run = 0;
    for block in text.split("\n```").skip(1).step_by(2) {
        let (language, block) = block.split_once('\n').expect("a block has a first line");
        let block = addressed(block, world);
        match language {
            "sh" => block.lines().for_each(|line| said_something(shell(world, scripts.path(), line), line)),
            "python" => said_something(python(&block), &block),
            other => panic!("docs/other-tools.md: a block of {other:?} cannot be judged"),
        }
        run += 1;
    }
    assert_eq!(run, 4, "kcat, Python, two of Kafka's");
}

/// With the addresses and the group of the test.
fn addressed(block: &str, world: &World) -> String {
    let block = block.replace("http://127.0.0.1:8081/apis/ccompat/v7", &world.stack.registry);
    block
        .replace("127.0.0.1:9092", &world.stack.kafka)
        .replace("--group coafi ", &format!("--group {} ", world.group))
        .replace("--group coafi\n", &format!("--group {}\n", world.group))
}

fn said_something(command: Command, what: &str) {
    assert!(!printed(command).trim().is_empty(), "{what}");
}

/// A line in the environment of the world's `coafi`, with the scripts in its PATH.
fn shell(world: &World, scripts: &Path, line: &str) -> Command {
    let mut shell = Command::new("sh");
    clean(&mut shell);
    shell.args(["-ec", line]).current_dir(world.path("."));
    let coafi = world.command(&[]);
    shell.envs(coafi.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", format!("{}:{}", scripts.display(), std::env::var("PATH").unwrap()));
    shell
}

fn python(program: &str) -> Command {
    let mut python = interpreter();
    python.args(["-c", program]);
    python
}

fn install(script: &Path, line: &str) {
    std::fs::write(script, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
}
