//! `coafi dev` as whoever tries it out meets it: what it says of itself, and commands in another shell.

use std::process::Command;

use crate::process::{Ended, Process, eventually, found};
use crate::repositories::Repository;
use crate::stack::Stack;
use crate::world::{clean, coafi};

#[test]
fn commands_in_another_shell_reach_it() {
    let directory = tempfile::tempdir().unwrap();
    let repository = Repository::init(directory.path().join("repository"));
    repository.commit_file("docs/a.md", "# A\n");
    let schedules = "schedules: [{name: yearly, cron: '0 0 1 1 *'}]\n";
    std::fs::write(directory.path().join("coafi.yaml"), schedules).unwrap();
    let mut command = coafi(&Stack::nowhere(), directory.path());
    command.args(["dev", "--repo"]).arg(&repository.path).env("COAFI__LOG__LEVEL", "info");
    let mut dev = Process::start(command);
    let environment = found("the file to read", || {
        assert!(dev.is_running(), "it ended: {}", dev.log());
        dev.log().lines().find_map(|line| Some(line.split_once("has read this: . ")?.1.to_owned()))
    });
    let own = "not used: kafka.bootstrap_servers, schema_registry.url, database.url";
    assert!(dev.log().contains(own), "{}", dev.log());
    let said = |arguments: &str| -> Ended {
        let mut command = Command::new("sh");
        clean(&mut command);
        command.current_dir(directory.path()).args(["-c", ". \"$1\" && exec \"$2\" $3", "sh", &environment]);
        command.args([env!("CARGO_BIN_EXE_coafi"), arguments]);
        Process::start(command).ended()
    };

    eventually("the run of the commit's workflow", || {
        said("workflow list --output json").json()["runs"][0]["status"] == "completed"
    });
    let fired = said("schedule trigger yearly").well();
    assert!(fired.starts_with("fired schedule.fired as yearly "), "{fired}");
    let is_fire = |line: &str| line.contains("/coafi/schedules/yearly") && line.contains("schedule.fired");
    eventually("it is handled", || dev.log().lines().any(is_fire));
    let why = said("group why");
    assert_eq!(why.code(), Some(0), "{}{}", why.stdout, why.stderr);
    dev.terminate();
    assert_eq!(dev.ended().code(), Some(0));
}
