//! What a person sees who runs a command in a terminal, and what a program sees that does not.

use std::process::Command;

use serde_json::Value;

use crate::process::{Ended, Process};
use crate::world::World;

const EVENTS: usize = 20;
/// A line that is drawn again and again.
const BAR: &str = "replaying [";

/// A command that takes long enough to be watched: as many events a second as in half of its time.
fn slow(name: &str) -> [&str; 7] {
    ["replay", "--name", name, "--rate", "10", "--output", "json"]
}

/// In a terminal of its own, what that shows is its standard output; `line` is the shell's, with `$COAFI` and `$ARGUMENTS`.
pub(crate) fn in_a_terminal(command: &Command, line: &str) -> Ended {
    let has_script = Command::new("script").arg("--version").output().is_ok_and(|shown| shown.status.success());
    assert!(has_script, "this test needs `script` of util-linux; Debian has it in the package bsdutils");
    let mut script = Command::new("script");
    script.args(["-qec", line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
    script
        .env("COAFI", command.get_program())
        .env("ARGUMENTS", arguments.join(" "))
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .current_dir(command.get_current_dir().unwrap());
    Process::start(script).ended()
}

/// What the terminal shows of it, and its result, which goes to a file.
fn watched(world: &World, arguments: &[&str]) -> (Ended, String) {
    let command = world.command(&[arguments, &["--topic", &world.topic]].concat());
    let ended = in_a_terminal(&command, r#"exec "$COAFI" $ARGUMENTS > result.json"#);
    (ended, std::fs::read_to_string(world.path("result.json")).unwrap())
}

fn is_clean(result: &str) -> bool {
    serde_json::from_str::<Value>(result).is_ok_and(|said| said["same"] == EVENTS)
}

#[test]
fn progress_is_drawn_on_a_terminal_and_nowhere_else() {
    let world = World::new("terminal");
    for number in 0..EVENTS {
        world.send(&world.push(&format!("key-{number}")));
    }
    world.consume();

    let (seen, result) = watched(&world, &slow("seen"));
    assert_eq!(seen.code(), Some(0), "{}{}", seen.stdout, seen.stderr);
    let shown: Vec<&str> = seen.stdout.split(BAR).skip(1).collect();
    let half_way = |bar: &&str| bar.contains(&format!("/{EVENTS} ")) && bar.contains('=') && !bar.contains("100%");
    assert!(shown.iter().any(half_way), "a bar that is under way: {:?}", seen.stdout);
    assert!(!seen.stdout.contains('░'), "drawn before it has its style: {:?}", seen.stdout);
    assert!(is_clean(&result), "nothing but the result on stdout: {result:?}");

    let (quiet, result) = watched(&world, &[&slow("quiet")[..], &["--quiet"]].concat());
    assert_eq!(quiet.code(), Some(0), "{}{}", quiet.stdout, quiet.stderr);
    // Warnings may come all the same.
    let drawn = ["replaying ", "reading events"].iter().any(|part| quiet.stdout.contains(part));
    assert!(!drawn, "{:?}", quiet.stdout);
    assert!(is_clean(&result), "{result:?}");

    let piped = world.run(&[&slow("piped")[..], &["--topic", &world.topic]].concat());
    assert_eq!(piped.code(), Some(0), "{}", piped.stderr);
    assert!(!piped.stderr.contains(BAR) && !piped.stderr.contains('\u{1b}'), "{:?}", piped.stderr);
    assert!(is_clean(&piped.stdout), "{:?}", piped.stdout);
}
