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
    expect![[r#"
        Ordered, exactly-once, provable event handling on Kafka

        Usage: coafi [OPTIONS] <COMMAND>

        Commands:
          dev          Run everything in one process over git repositories, for trying it out
          consume      Handle events: one replica of the consumer group
          connect      Publish a source's events to Kafka
          api          Serve the HTTP API: requests become events on coafi.api
          event        Single events: publish one, or see what happened to it
          dlq          Dead letters: find them, send them again, give them up
          unprocessed  Events that no route took
          group        The consumer group
          routes       Which handler takes which event
          replay       Handle recorded events again, beside the live group
          schedule     Schedules: when they fire, what became of it, and how to step in
          registry     Registries: entries with their versions, who wrote them, and who is told of changes
          workflow     Workflows: what is defined, what runs, and how to step in
          notify       Notifications: the channels, whether they work, and saying something
          federated    Other domains: keys, and the envelopes that are signed with them
          topics       The cluster's topics, as topics/*.yaml declares them
          acls         What a role needs of Kafka and nothing more, as commands for Kafka's own tool
          schemas      The schemas of avro/ in the schema registry
          config       The configuration in force
          health       Ask a running replica whether it is alive
          completions  Write a shell's completion script to stdout

        Options:
          -h, --help
                  Print help (see a summary with '-h')

          -V, --version
                  Print version

        Global options:
              --config <PATH>
                  Configuration file; else COAFI_CONFIG, else coafi.yaml if it is there

              --output <FORMAT>
                  How results are written to stdout

                  Possible values:
                  - table: For people
                  - json:  For programs: one JSON document per line

                  [default: table]

          -q, --quiet
                  Only results and errors

        Exit codes:
          0    done, or the answer is yes
          1    it failed, or the answer is no
          2    the command line or the configuration is wrong
          3    Kafka, the schema registry, the database or a replica does not answer
          130  stopped at once by a second signal

        Every setting of coafi.yaml can be given as COAFI__SECTION__KEY; `coafi config show` prints what is
        in force.
    "#]]
    // clap leaves blanks at the ends of lines, which an editor may well remove here.
    .assert_eq(&text(&output.stdout).lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>());
}

/// What `--help` says of a command on a terminal that is wider than anybody reads.
fn help(command: &[String]) -> String {
    let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let output = run(&arguments, &[("COLUMNS", "500")]);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// The commands below one, as its help lists them.
fn below(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What does not fit beside a name goes on further to the right.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().expect("a name").to_owned()).collect()
}

/// Every command of the tree with its help.
fn tree(command: Vec<String>) -> Vec<(Vec<String>, String)> {
    let help = help(&command);
    let below = below(&help);
    let further = below.into_iter().flat_map(|name| tree([command.clone(), vec![name]].concat()));
    std::iter::once((command.clone(), help.clone())).chain(further.collect::<Vec<_>>()).collect()
}

#[test]
fn every_command_has_help_with_examples_and_exit_codes() {
    let tree = tree(Vec::new());
    for known in ["api", "api key", "routes test", "dlq redrive", "schedule backfill", "completions"] {
        assert!(tree.iter().any(|(command, _)| command.join(" ") == known), "{known} was not found: {tree:#?}");
    }
    let mut wrong = Vec::new();
    for (command, help) in &tree {
        let name = format!("coafi {}", command.join(" "));
        if let Some(wide) = help.lines().find(|line| line.chars().count() > 120) {
            wrong.push(format!("{name}: too wide: {wide}"));
        }
        // A command that has others below it, and is run by itself all the same, takes them in brackets.
        if !below(help).is_empty() && !help.contains("[COMMAND]") {
            continue;
        }
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_default();
        let examples = examples.lines().take_while(|line| !line.is_empty());
        if !examples.into_iter().any(|line| line.contains(&name)) {
            wrong.push(format!("{name}: no example of it"));
        }
        let codes = help.lines().find_map(|line| line.strip_prefix("Exit codes: 0 "));
        if codes.is_none() {
            wrong.push(format!("{name}: nothing says what its exit codes mean"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What bash offers, with the script in force, for the last word of a command line.
fn offered(script: &Path, words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"source "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) &&
        _coafi coafi "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" && printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", ASK]).arg(script).args(words);
    let output = bash.output().expect("bash is there");
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn completions_are_a_script_that_offers_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("coafi.bash");
    std::fs::write(&script, run(&["completions", "bash"], &[]).stdout).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&script).output().expect("this test needs bash");
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", text(&checked.stderr));

    let redrive = ["coafi", "dlq", "redrive"];
    let help = help(&redrive[1..].iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let options: Vec<&str> =
        lines.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--"))).collect();
    assert!(options.contains(&"--max-awaited") && options.contains(&"--into"), "{options:?}");
    let offered_options = offered(&script, &[&redrive[..], &["--"]].concat());
    for option in options {
        assert!(offered_options.iter().any(|offered| offered == option), "{option}: {offered_options:?}");
    }
    assert_eq!(offered(&script, &["coafi", "dlq", "redr"]), ["redrive"]);
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_everything() {
    let variables = [("COAFI__KAFKA__DELIVERY", "exactly_once"), ("COAFI__HTTP__LISTE", "x")];
    check(
        &["config", "show"],
        &variables,
        2,
        expect![[r#"
        error: environment variable COAFI__KAFKA__DELIVERY: kafka.delivery: "exactly_once" is not allowed; allowed: transactional, at_least_once
        environment variable COAFI__HTTP__LISTE: http.liste: unknown key (did you mean "listen"?); allowed here: listen, liveness_timeout, probe_timeout
          next: correct what is named above; docs/configuration.md lists every key
    "#]],
    );
    check(
        &["--config", "nowhere.yaml", "consume"],
        &[],
        2,
        expect![[r#"
        error: configuration file nowhere.yaml does not exist (named by --config)
          next: name an existing file, or none to run with the defaults
    "#]],
    );
    let otlp = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    check(
        &["consume"],
        &otlp,
        2,
        expect![[r#"
        error: environment variable OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported; allowed: http/protobuf
          next: see docs/observability.md for what is supported
    "#]],
    );
    check(
        &["connect", "git"],
        &[],
        2,
        expect![[r#"
        error: no repository is named
          next: give --repo PATH|URL, or set git.repositories
    "#]],
    );
    let wrong_log = [("RUST_LOG", "coafi=loud")];
    check(
        &["connect", "git", "--repo", "."],
        &wrong_log,
        2,
        expect![[r#"
        error: log filter "coafi=loud" is not understood: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5; allowed: a level or directives such as info,coafi::kafka=debug
          next: see docs/observability.md for what is supported
    "#]],
    );
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [&["consum"][..], &["group"], &["group", "lag", "--max", "many"], &["--output", "xml", "health"]] {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_does_not_answer_ends_with_3() {
    check(
        &["health", "--url", "http://127.0.0.1:1"],
        &[],
        3,
        expect![[r#"
        error: no replica answers at http://127.0.0.1:1/health
          because: error sending request
          because: client error (Connect)
          because: tcp connect error
          because: Connection refused (os error 111)
          next: start one with `coafi consume` or `coafi dev`, or name its address with --url
    "#]],
    );
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
