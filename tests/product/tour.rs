//! The tour through every source, as `make tour` takes it.

use std::path::Path;
use std::process::Command;

use coafi_testcontainers::Kafka;

use crate::process::Process;
use crate::stack::{Database, Stack, unique};
use crate::world::{clean, point_at, repository};

#[test]
fn a_tour_drives_every_source_and_tells_what_became_of_each_event() {
    let kafka = Kafka::start().unwrap();
    let shared = Stack::shared();
    let database = Database::create(&shared.postgres, &unique("tour"));
    let stack = Stack { kafka: kafka.bootstrap_servers(), postgres: database.url(), ..shared };
    let mut command = Command::new(repository().join("scripts/tour"));
    clean(&mut command);
    point_at(&mut command, &stack);
    let built = Path::new(env!("CARGO_BIN_EXE_coafi")).parent().unwrap();
    command.env("PATH", format!("{}:{}", built.display(), std::env::var("PATH").unwrap()));
    let told = Process::start(command).ended().well();

    let ends: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("outcome")).map(str::trim).collect();
    let processed = [["processed"; 6].as_slice(), &["unprocessed", "processed"]].concat();
    assert_eq!(
        ends, processed,
        "git, API, webhook, CloudEvents, federated, schedule, and the audit log's two:\n{told}"
    );
    for source in ["git", "api", "ai", "federated", "schedule", "bitt"] {
        assert!(told.contains(&format!(" coafi.{source}[")), "coafi.{source}:\n{told}");
    }
    for step in ["FILE_PROCESSED", "{\"handler\":\"system_update\"}", "{\"handler\":\"log\"}"] {
        assert!(told.contains(step), "{step}:\n{told}");
    }
    for workflow in ["GitCommitProcessing", "RegistryUpdateNotification", "ComplianceRemediation"] {
        let run = told.lines().find(|line| line.contains(&format!("  {workflow}Workflow ")));
        assert!(run.is_some_and(|run| run.contains("completed")), "{workflow}:\n{told}");
    }
}
