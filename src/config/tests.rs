use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::*;

fn environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

/// A secret of Standard Webhooks, in the file `secret` of the directory that `DIRECTORY` in a configuration stands for.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(super) fn loaded(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    std::fs::write(&file, yaml.replace("DIRECTORY", &directory.path().display().to_string())).unwrap();
    std::fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
    load(&Sources { file: Some(file), ..environment(variables) })
}

/// What the configuration is told; directories of the test are cut away.
pub(super) fn check(yaml: &str, variables: &[(&str, &str)], expected: Expect) {
    let message = loaded(yaml, variables).expect_err("refused").to_string();
    // The file lies in a directory of the test's own.
    let lines = message.lines().map(|line| match line.split_once("/c.yaml") {
        Some((_, rest)) => format!("c.yaml{rest}"),
        None => line.to_owned(),
    });
    expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
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
    check(
        "kafka: {gruop_id: x}",
        &[],
        expect![[
            r#"c.yaml: kafka.gruop_id: unknown key (did you mean "group_id"?); allowed here: bootstrap_servers, client_files, client, group_id, run, membership, group_instance_id, slot, delivery, start, commit, transaction_timeout, drain, session_timeout, heartbeat_interval, queues"#
        ]],
    );
    check(
        "group_id: x",
        &[],
        expect![[
            r#"c.yaml: group_id: unknown key (did you mean "kafka.group_id"?); allowed here: kafka, engine, dead_letters, workers, schema_registry, database, artifacts, git, schedules, bitt, federated, routes_file, avro_dir, topics_dir, workflows_dir, json_schemas, registries, http, api, notifications, outgoing, endpoint_secrets, endpoints, telemetry, log, redaction"#
        ]],
    );
    check(
        "",
        &[("COAFI__HTTP__LISTE", "x")],
        expect![[
            r#"environment variable COAFI__HTTP__LISTE: http.liste: unknown key (did you mean "listen"?); allowed here: listen, liveness_timeout, probe_timeout"#
        ]],
    );
    check(
        "kafka: {commit: {interval: fast}}",
        &[],
        expect![[
            r#"c.yaml: kafka.commit.interval: "fast" is not allowed; allowed: a duration from 1ms to 1m, such as 100ms, 10s or 1m"#
        ]],
    );
    check(
        "kafka: {commit: {interval: 100}}",
        &[],
        expect![
            "c.yaml: kafka.commit.interval: 100 is not allowed; allowed: a duration from 1ms to 1m, such as 100ms, 10s or 1m"
        ],
    );
    check(
        "kafka: {commit: 100ms}",
        &[],
        expect![[r#"c.yaml: kafka.commit: "100ms" is not allowed; allowed: a mapping of keys to values"#]],
    );
    check(
        "engine: {max_bytes: 64M}",
        &[],
        expect![[
            r#"c.yaml: engine.max_bytes: "64M" is not allowed; allowed: a size from 2MiB to 64GiB, such as 512KiB or 64MiB"#
        ]],
    );
    check(
        "engine: {max_records: -1}",
        &[],
        expect!["c.yaml: engine.max_records: -1 is not allowed; allowed: a whole number from 10 to 10000000"],
    );
    check(
        "",
        &[("COAFI__KAFKA__DELIVERY", "exactly_once")],
        expect![[
            r#"environment variable COAFI__KAFKA__DELIVERY: kafka.delivery: "exactly_once" is not allowed; allowed: transactional, at_least_once"#
        ]],
    );
    check(
        "",
        &[("COAFI__KAFKA", "broker:9092")],
        expect![[
            r#"environment variable COAFI__KAFKA: kafka: "broker:9092" is not allowed; allowed: a mapping of keys to values"#
        ]],
    );
    check(
        "http: {listen: 8080}",
        &[],
        expect![
            "c.yaml: http.listen: 8080 is not allowed; allowed: an address and port, such as 0.0.0.0:8080 or [::1]:8080"
        ],
    );
    check(
        "schema_registry: {auto_register: maybe, url: 'ftp://x'}",
        &[],
        expect![[r#"
        c.yaml: schema_registry.url: "ftp://x" is not allowed; allowed: a URL that starts with http: or https:
        c.yaml: schema_registry.auto_register: "maybe" is not allowed; allowed: true or false"#]],
    );
    check(
        "artifacts: {url: 'gs://bucket'}",
        &[],
        expect![[
            r#"c.yaml: artifacts.url: "gs://bucket" is not allowed; allowed: a directory, file:///directory, or s3://bucket/prefix"#
        ]],
    );
    check(
        "git: {repositories: [{branch: main}]}",
        &[],
        expect![[r#"
        c.yaml: git.repositories[0].url: is missing; allowed: a repository's URL or path
        c.yaml: git.repositories[0].branch: unknown key (did you mean "branches"?); allowed here: url, username, password_file, branches, paths, start"#]],
    );
    check(
        "git: {repositories: [{url: a, start: yesterday, paths: ['[']}, a]}",
        &[],
        expect![[r#"
        c.yaml: git.repositories[0].paths: "[" is not a glob; allowed: patterns such as main, release/* or docs/**/*.md
        c.yaml: git.repositories[0].start: "yesterday" is not allowed; allowed: history, now, or commit:<40 hexadecimal digits>
        c.yaml: git.repositories[1].url: the repository is listed twice"#]],
    );
    check(
        "log: {level: loud, format: xml}",
        &[],
        expect![[r#"
            c.yaml: log.level: "loud" is not allowed; allowed: error, warn, info, debug, trace, off, or directives such as info,coafi::kafka=debug
            c.yaml: log.format: "xml" is not allowed; allowed: auto, pretty, json"#]],
    );
}

#[test]
fn a_secret_that_is_too_short_is_the_file_s_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("short");
    std::fs::write(&file, "hunter2").unwrap();
    check(
        &format!("api: {{jwt: {{secret_file: {}}}}}", file.display()),
        &[],
        expect!["c.yaml: api.jwt.secret_file: is too short for HS256; allowed: at least 32 bytes"],
    );
    check(
        "api: {}",
        &[("COAFI__API__JWT__SECRET", "hunter2")],
        expect![
            "environment variable COAFI__API__JWT__SECRET: api.jwt.secret: is too short for HS256; allowed: at least 32 bytes"
        ],
    );
}

#[test]
fn a_webhook_has_a_name_a_kind_secrets_and_what_its_kind_takes() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secrets");
    std::fs::write(&file, "the first of the secrets\n\nthe second of the secrets\n").unwrap();
    let yaml = format!("api: {{webhooks: [{{name: git-hub, kind: github, secret_file: {}}}]}}", file.display());
    let variables = [("COAFI__API__WEBHOOK_SECRETS__GIT_HUB", "the third of the secrets")];
    let loaded = loaded(&yaml, &variables).unwrap();
    let secrets = loaded.settings.api.webhooks[0].secrets.iter().map(Secret::expose);
    assert!(secrets.eq(["the first of the secrets", "the second of the secrets", "the third of the secrets"]));
    let shown = format!("{:?} {:?}", loaded.settings, loaded.entries);
    assert!(!shown.contains("of the secrets"), "{shown}");

    check(
        "api: {webhooks: [{name: A}, {kind: hmac}, {name: b, kind: standard, header: x}], webhook_secrets: {d: hunter2}}",
        &[("COAFI__API__WEBHOOK_SECRETS__C", "hunter2"), ("COAFI__API__WEBHOOK_SECRETS__B", "hunter2")],
        expect![[r#"
            c.yaml: api.webhook_secrets.d: a secret does not belong in a file; allowed: environment variable COAFI__API__WEBHOOK_SECRETS__D
            c.yaml: api.webhooks[0].name: "A" is not allowed; allowed: small letters, digits, '-' and '_', such as github
            c.yaml: api.webhooks[0].kind: is missing; allowed: github, gitlab, standard, hmac
            c.yaml: api.webhooks[0].secret_file: is missing; allowed: a file with one secret a line, or environment variable COAFI__API__WEBHOOK_SECRETS__<NAME>
            c.yaml: api.webhooks[1].name: is missing; allowed: small letters, digits, '-' and '_', such as github
            c.yaml: api.webhooks[1].secret_file: is missing; allowed: a file with one secret a line, or environment variable COAFI__API__WEBHOOK_SECRETS__<NAME>
            c.yaml: api.webhooks[1].header: is missing; allowed: the name of the header that has the signature
            c.yaml: api.webhooks[2].secret_file: a secret of this file or of COAFI__API__WEBHOOK_SECRETS__B is not allowed: a secret is not one of Standard Webhooks; allowed: whsec_ and at least 16 bytes in base64, or whpk_ and an Ed25519 public key in base64
            environment variable COAFI__API__WEBHOOK_SECRETS__C: api.webhook_secrets.c: no webhook has this name; allowed: names of api.webhooks
            c.yaml: api.webhooks[2].header: unknown key; allowed here: name, kind, secret_file, body_max_bytes, tolerance, type, topic, key"#]],
    );
    check(
        "api: {endpoints: [{path: webhooks/a, schema: s}], webhooks: [
          {name: h, kind: hmac, header: 'a b', timestamp_header: t, signed: '{body}'},
          {name: h, kind: hmac, header: a, signed: '{id}{timestamp}'}]}",
        &[("COAFI__API__WEBHOOK_SECRETS__H", "hunter2")],
        expect![[r#"
            c.yaml: api.webhooks[0].secret_file: a secret of this file or of COAFI__API__WEBHOOK_SECRETS__H is not allowed: allowed: at least 16 bytes each
            c.yaml: api.webhooks[0].header: "a b" is not allowed; allowed: the name of a header, such as X-Signature
            c.yaml: api.webhooks[0].signed: a time that is not signed proves nothing; allowed: {timestamp} and timestamp_header, or neither
            c.yaml: api.webhooks[1].secret_file: a secret of this file or of COAFI__API__WEBHOOK_SECRETS__H is not allowed: allowed: at least 16 bytes each
            c.yaml: api.webhooks[1].signed: "{id}{timestamp}" is not allowed; allowed: text with {body} once, and {timestamp} and {id} where they are signed, such as v0:{timestamp}:{body}
            c.yaml: api.webhooks[1].name: the webhook is listed twice
            c.yaml: api.endpoints[0].path: is where webhooks are; allowed: a path that begins otherwise, or a webhook of this name"#]],
    );
}

#[test]
fn values_that_make_no_sense_together_are_refused() {
    check(
        "kafka: {transaction_timeout: 1s, commit: {interval: 1s}}",
        &[],
        expect![
            "c.yaml: kafka.transaction_timeout: must be at least twice kafka.commit.interval, or transactions expire"
        ],
    );
    check(
        "kafka: {session_timeout: 1s}",
        &[],
        expect!["c.yaml: kafka.session_timeout: must be at least three times kafka.heartbeat_interval"],
    );
    check(
        "engine: {max_in_flight: 100, max_run: 1000}",
        &[],
        expect!["c.yaml: engine.max_run: must not exceed engine.max_in_flight"],
    );
    check(
        "engine: {max_parked: 300}",
        &[],
        expect!["c.yaml: engine.max_parked: leaves the offset map no room within engine.max_metadata_bytes"],
    );
    check(
        "kafka: {client: {enable.auto.commit: true, group.id: x, message.max.bytes: 1, linger.ms: 5}}",
        &[],
        expect![[r#"
        c.yaml: kafka.client.enable.auto.commit: offsets are committed with their outcomes (I1, I2)
        c.yaml: kafka.client.group.id: set kafka.group_id instead
        c.yaml: kafka.client.message.max.bytes: set max.message.bytes of the topic instead, in its declaration"#]],
    );
}

#[test]
fn secrets_come_from_the_environment_or_from_files_and_are_never_shown() {
    check(
        "database: {password: hunter2}",
        &[],
        expect![[
            r#"c.yaml: database.password: a secret does not belong in a file; allowed: "password_file", or environment variable COAFI__DATABASE__PASSWORD"#
        ]],
    );
    check(
        "database: {url: 'postgres://u:hunter2@h/d'}",
        &[],
        expect![[
            r#"c.yaml: database.url: a password does not belong in a file; set the section's "password_file" or the environment"#
        ]],
    );
    check(
        "kafka: {client: {sasl.password: hunter2}}",
        &[],
        expect![[
            r#"c.yaml: kafka.client.sasl.password: a secret does not belong in a file; allowed: "client_files", or the environment"#
        ]],
    );
    check(
        "database: {password_file: /nowhere/p}",
        &[],
        expect![[
            r#"c.yaml: database.password_file: file "/nowhere/p" cannot be read: No such file or directory (os error 2); allowed: a readable file that holds the secret"#
        ]],
    );

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

#[test]
fn a_value_of_the_file_is_not_hidden_by_a_variable_below_it() {
    let expected = expect!["c.yaml: kafka: 7 is not allowed; allowed: a mapping of keys to values"];
    check("kafka: 7", &[("COAFI__KAFKA__GROUP_ID", "x"), ("COAFI__KAFKA__COMMIT__INTERVAL", "1s")], expected);
    let expected = expect!["c.yaml: kafka.commit: [] is not allowed; allowed: a mapping of keys to values"];
    check("kafka: {commit: []}", &[("COAFI__KAFKA__COMMIT__INTERVAL", "1s")], expected);
    assert!(loaded("kafka:\n", &[("COAFI__KAFKA__GROUP_ID", "x")]).is_ok(), "a key without a value is absent");
}

#[test]
fn a_repository_s_password_is_in_a_file_or_the_environment_and_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let file = file.display();
    let yaml = format!("git: {{repositories: [{{url: 'https://h/o/r.git', username: me, password_file: {file}}}]}}");
    let in_url = [("COAFI__GIT__REPOSITORIES", "https://me:hunter2@h/o/r.git, /srv/a")];
    for loaded in [loaded(&yaml, &[]).unwrap(), loaded("", &in_url).unwrap()] {
        let repository = &loaded.settings.git.repositories[0];
        let credentials = repository.credentials.as_ref().unwrap();
        assert_eq!((repository.url.as_str(), credentials.username.as_str()), ("https://h/o/r.git", "me"));
        assert_eq!(credentials.password.expose(), "hunter2");
        let all = format!("{loaded:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }

    check(
        "git: {repositories: ['https://me:hunter2@h/o/r', {url: 'https://token@h/r'}, {url: 'https://u:hun/ter2@h/r'}, \
         {url: 'https://h/a', username: me}, {url: 'https://h/b', password_file: /nowhere/p}]}",
        &[],
        expect![[r#"
            c.yaml: git.repositories[0].url: a user or password does not belong in it; set "username" and "password_file"
            c.yaml: git.repositories[1].url: a user or password does not belong in it; set "username" and "password_file"
            c.yaml: git.repositories[2].url: "https://h/r" names no repository: its host is not of letters, digits, '.', '-' and '_', or an IPv6 address in brackets, and a port; allowed: a path, file://, https:// or http://
            c.yaml: git.repositories[3].username: allowed: with "password_file", or neither
            c.yaml: git.repositories[4].password_file: file "/nowhere/p" cannot be read: No such file or directory (os error 2); allowed: a readable file that holds the secret"#]],
    );
    check(
        "api: {webhooks: [{name: h, kind: github, repository: 'https://me:hunter2@h/r'}]}",
        &[("COAFI__API__WEBHOOK_SECRETS__H", "of sixteen bytes")],
        expect!["c.yaml: api.webhooks[0].repository: a user or password does not belong in it; allowed: without"],
    );
    let yaml = format!("git: {{repositories: [{{url: 'http://h/r', username: me, password_file: {file}}}]}}");
    check(
        &yaml,
        &[],
        expect![
            "c.yaml: git.repositories[0].url: a password would be sent in the clear; allowed with a user: a URL that starts with https:"
        ],
    );
}

#[test]
fn a_permission_that_allows_nothing_is_refused() {
    let wrong = |permission: &str| {
        let sha256 = "0".repeat(64);
        let yaml = format!("api: {{keys: [{{principal: ci, sha256: '{sha256}', permissions: ['{permission}']}}]}}");
        loaded(&yaml, &[]).err().map(|error| error.to_string())
    };
    for permission in ["*", "api:*", "api:registry/*", "api:registry/update:POST", "api:/events:GET", "api:a:b:GET"] {
        assert_eq!(wrong(permission), None, "{permission}");
    }
    for permission in ["foo", "registry/update:POST", "api:registry/update:post", "api::POST", "api:x", "apx*"] {
        let error = wrong(permission).unwrap();
        let expected =
            format!("api.keys[0].permissions: {permission:?} allows nothing; allowed: api:{{endpoint}}:{{METHOD}}");
        assert!(error.contains(&expected), "{error}");
    }
}
