use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

fn loaded(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    std::fs::write(&file, yaml).unwrap();
    load(&Sources { file: Some(file), ..environment(variables) })
}

/// What the configuration is told; directories of the test are cut away.
fn check(yaml: &str, variables: &[(&str, &str)], expected: Expect) {
    let message = loaded(yaml, variables).expect_err("refused").to_string();
    let without_directories: String = message
        .split_inclusive(' ')
        .map(|word| word.rsplit_once("/c.yaml").map_or(word.to_owned(), |(_, rest)| format!("c.yaml{rest}")))
        .collect();
    let lines: Vec<_> = without_directories
        .lines()
        .map(|line| line.rsplit_once("/c.yaml").map_or(line.to_owned(), |(_, rest)| format!("c.yaml{rest}")))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn the_example_file_is_exactly_the_defaults_and_names_every_key() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_FILE);
    let text = std::fs::read_to_string(&file).unwrap();
    let loaded = load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    for entry in &loaded.entries {
        let key = entry.key.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{key}:")), "{} is not in the example", entry.key);
    }
}

#[test]
fn an_empty_file_is_all_defaults() {
    for yaml in ["", "\n  \n", "# only a comment\n", "kafka:\n"] {
        assert_eq!(loaded(yaml, &[]).unwrap().settings, Settings::default(), "{yaml:?}");
    }
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
    let yaml =
        "kafka:\n  group_id: from-file\n  slot: from-file\n  client: {security.protocol: PLAINTEXT, linger.ms: 3}\n";
    let variables = [("COAFI__KAFKA__SLOT", "from-env"), ("COAFI__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL")];
    let loaded = loaded(yaml, &variables).unwrap();
    let kafka = &loaded.settings.kafka;
    assert_eq!((kafka.group_id.as_str(), kafka.slot().as_str()), ("from-file", "from-env"));
    assert_eq!((kafka.client["security.protocol"].expose(), kafka.client["linger.ms"].expose()), ("SSL", "3"));
    let origin = |key: &str| loaded.entries.iter().find(|e| e.key == key).map(|e| e.origin.as_str()).unwrap();
    assert!(origin("kafka.group_id").ends_with("c.yaml"));
    assert_eq!(origin("kafka.slot"), "environment variable COAFI__KAFKA__SLOT");
    assert_eq!(origin("http.listen"), "default");
}

#[test]
fn every_kind_of_value_is_read() {
    let yaml = "
kafka: {delivery: at_least_once, commit: {interval: 250ms}, queues: {fetched_max_bytes: 8MiB}}
git: {repositories: [., {url: 'https://example.org/r.git', branches: [main], paths: ['docs/**'], start: now}]}
json_schemas: [{paths: 'config/*.yaml', schema: schemas/config.json}]
artifacts: {url: s3://bucket/docs}
";
    let settings = loaded(yaml, &[("COAFI__HTTP__LISTEN", "[::1]:9")]).unwrap().settings;
    assert_eq!(settings.kafka.delivery, Delivery::AtLeastOnce);
    assert_eq!(settings.engine().commit_interval.as_millis(), 250);
    assert_eq!(settings.kafka.queues.fetched_max_bytes, 8 << 20);
    assert_eq!(settings.git.repositories[0], Repository::new("."));
    assert_eq!(settings.git.repositories[1].start, GitStart::Now);
    assert_eq!(settings.json_schemas[0].schema, PathBuf::from("schemas/config.json"));
    assert_eq!(settings.artifacts.to_string(), "s3://bucket/docs");
    assert_eq!(settings.http.listen.to_string(), "[::1]:9");
    let from_environment = load(&environment(&[("COAFI__GIT__REPOSITORIES", "/a, /b")])).unwrap().settings;
    assert_eq!(from_environment.git.repositories, [Repository::new("/a"), Repository::new("/b")]);
}

#[test]
fn a_named_file_must_be_there() {
    let missing = load(&Sources { file: Some("/nowhere/c.yaml".into()), ..Sources::default() }).unwrap_err();
    expect!["configuration file /nowhere/c.yaml does not exist (named by --config)"].assert_eq(&missing.to_string());
    let missing = load(&environment(&[(CONFIG_VARIABLE, "/nowhere/c.yaml")])).unwrap_err();
    expect!["configuration file /nowhere/c.yaml does not exist (named by COAFI_CONFIG)"]
        .assert_eq(&missing.to_string());
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources { directory: Some(directory.path().to_owned()), ..Sources::default() };
    assert_eq!(load(&sources).unwrap().settings, Settings::default(), "an absent default file is no error");
}

#[test]
fn a_file_that_is_no_mapping_is_refused() {
    for yaml in ["kafka: [", "- a\n- b\n", "just text", "kafka: {group_id: a}\nkafka: {group_id: b}\n", "\u{0}"] {
        let error = loaded(yaml, &[]).unwrap_err();
        assert!(matches!(error, ConfigError::Syntax { .. }), "{yaml:?}: {error:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let error = load(&Sources { file: Some(directory.path().to_owned()), ..Sources::default() }).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error:?}");
}

#[test]
fn a_wrong_key_or_value_names_where_it_stands_and_what_is_allowed() {
    check("kafka: {gruop_id: x}", &[], expect![[r#""#]]);
    check("group_id: x", &[], expect![[r#""#]]);
    check("", &[("COAFI__HTTP__LISTE", "x")], expect![[r#""#]]);
    check("kafka: {commit: {interval: fast}}", &[], expect![[r#""#]]);
    check("kafka: {commit: {interval: 100}}", &[], expect![[r#""#]]);
    check("kafka: {commit: 100ms}", &[], expect![[r#""#]]);
    check("engine: {max_bytes: 64M}", &[], expect![[r#""#]]);
    check("engine: {max_records: -1}", &[], expect![[r#""#]]);
    check("", &[("COAFI__KAFKA__DELIVERY", "exactly_once")], expect![[r#""#]]);
    check("", &[("COAFI__KAFKA", "broker:9092")], expect![[r#""#]]);
    check("http: {listen: 8080}", &[], expect![[r#""#]]);
    check("schema_registry: {auto_register: maybe, url: 'ftp://x'}", &[], expect![[r#""#]]);
    check("artifacts: {url: 'gs://bucket'}", &[], expect![[r#""#]]);
    check("git: {repositories: [{branch: main}]}", &[], expect![[r#""#]]);
    check("git: {repositories: [{url: a, start: yesterday, paths: ['[']}, a]}", &[], expect![[r#""#]]);
    check("log: {level: loud, format: xml}", &[], expect![[r#""#]]);
}

#[test]
fn values_that_make_no_sense_together_are_refused() {
    check("kafka: {transaction_timeout: 1s, commit: {interval: 1s}}", &[], expect![[r#""#]]);
    check("kafka: {session_timeout: 1s}", &[], expect![[r#""#]]);
    check("engine: {max_in_flight: 100, max_run: 1000}", &[], expect![[r#""#]]);
    check("kafka: {client: {enable.auto.commit: true, group.id: x}}", &[], expect![[r#""#]]);
}

#[test]
fn secrets_come_from_the_environment_or_from_files_and_are_never_shown() {
    check("database: {password: hunter2}", &[], expect![[r#""#]]);
    check("database: {url: 'postgres://u:hunter2@h/d'}", &[], expect![[r#""#]]);
    check("kafka: {client: {sasl.password: hunter2}}", &[], expect![[r#""#]]);
    check("database: {password_file: /nowhere/p}", &[], expect![[r#""#]]);

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p");
    std::fs::write(&file, "hunter2\n").unwrap();
    let path = file.display();
    let yaml = format!("kafka: {{client_files: {{sasl.password: {path}}}}}\ndatabase: {{password_file: {path}}}\n");
    let variables =
        [("COAFI__SCHEMA_REGISTRY__PASSWORD", "hunter2"), ("COAFI__KAFKA__CLIENT__SSL_KEY_PASSWORD", "hunter2")];
    let loaded = loaded(&yaml, &variables).unwrap();
    assert_eq!(loaded.settings.database.url().expose(), "postgres://coafi:hunter2@127.0.0.1:5432/coafi");
    assert_eq!(loaded.settings.schema_registry.password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(loaded.settings.kafka.client["sasl.password"].expose(), "hunter2");
    assert_eq!(loaded.settings.kafka.client["ssl.key.password"].expose(), "hunter2");
    let shown = format!("{:?} {:?}", loaded.settings, loaded.entries);
    assert!(!shown.contains("hunter2"), "{shown}");
}
