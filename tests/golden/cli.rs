//! The command line as people and scripts meet it: the binary, its exit codes, its help.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};

/// The binary in an empty directory, with nothing of ours in its environment.
fn coafi(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
    command.current_dir(directory).env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    coafi(directory.path()).args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Exit code and standard error of a command that writes nothing to standard output.
fn check(arguments: &[&str], variables: &[(&str, &str)], code: i32, expected: Expect) {
    let output = run(arguments, variables);
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    expected.assert_eq(text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
}

#[test]
fn help_names_every_noun_and_the_exit_codes() {
    let output = run(&["--help"], &[]);
    assert!(output.status.success());
    expect![[r#""#]].assert_eq(text(&output.stdout));
}

#[test]
fn every_verb_has_help_with_examples() {
    for verb in [
        &["dev"][..],
        &["consume"],
        &["connect", "git"],
        &["event", "send"],
        &["event", "show"],
        &["group", "lag"],
        &["topics", "plan"],
        &["topics", "apply"],
        &["schemas", "check"],
        &["schemas", "register"],
        &["routes", "lint"],
        &["routes", "explain"],
        &["config", "show"],
        &["health"],
        &["completions"],
    ] {
        let output = run(&[verb, &["--help"]].concat(), &[]);
        assert!(output.status.success(), "{verb:?}");
        let help = text(&output.stdout);
        assert!(help.contains("Example") && help.contains("coafi "), "{verb:?} shows no example:\n{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{verb:?} is too wide:\n{help}");
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_everything() {
    let variables = [("COAFI__KAFKA__DELIVERY", "exactly_once"), ("COAFI__HTTP__LISTE", "x")];
    check(&["config", "show"], &variables, 2, expect![[r#""#]]);
    check(&["--config", "nowhere.yaml", "consume"], &[], 2, expect![[r#""#]]);
    let otlp = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    check(&["consume"], &otlp, 2, expect![[r#""#]]);
    check(&["connect", "git"], &[], 2, expect![[r#""#]]);
    let wrong_log = [("RUST_LOG", "coafi=loud")];
    check(&["connect", "git", "--repo", "."], &wrong_log, 2, expect![[r#""#]]);
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [&["consum"][..], &["group"], &["group", "lag", "--max", "many"], &["--output", "xml", "health"]] {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_does_not_answer_ends_with_3() {
    check(&["health", "--url", "http://127.0.0.1:1"], &[], 3, expect![[r#""#]]);
    let output = run(&["group", "lag"], &[("COAFI__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Kafka at 127.0.0.1:1"), "{}", text(&output.stderr));
}

#[test]
fn config_show_names_every_origin_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("coafi.yaml"), "kafka: {group_id: from-file}\n").unwrap();
    let output = coafi(directory.path())
        .args(["config", "show", "--changed", "--output", "json"])
        .env("COAFI__DATABASE__PASSWORD", "hunter2")
        .output()
        .unwrap();
    let expected = concat!(
        r#"[{"key":"kafka.group_id","value":"from-file","origin":"coafi.yaml"},"#,
        r#"{"key":"database.password","value":"***","origin":"environment variable COAFI__DATABASE__PASSWORD"}]"#,
        "\n"
    );
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = coafi(directory.path()).args(["config", "show"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], &[]);
        assert!(output.status.success() && text(&output.stdout).contains("coafi"), "{shell}");
    }
}
