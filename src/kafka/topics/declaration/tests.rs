use super::*;

const WHOLE: &str = "
topic: coafi.test
owner: tests
partitions: 3
replication: 3
key: repository
schemas: [org.coafi.events.GitCommitEventPayload]
retention: 7d
cleanup: delete
max_message_bytes: 1 MiB
retry: {tiers: [5s, 1m], retention: 7d}
dead_letter: {retention: unlimited}
config: {compression.type: producer}
";

#[test]
fn a_whole_declaration() {
    let parsed = Declaration::parse("f", WHOLE, &Schemas::built_in()).unwrap();
    assert_eq!(parsed.retry.unwrap().tiers, [Duration::from_secs(5), Duration::from_secs(60)]);
    assert_eq!(parsed.dead_letter.unwrap().retention, Retention::Unlimited);
    assert_eq!((parsed.max_message_bytes, parsed.key.as_deref()), (1 << 20, Some("repository")));
}

/// Replaces the line of `key` and expects an error that has all of `said`.
fn check(key: &str, line: &str, said: &[&str]) {
    let text: String = WHOLE
        .lines()
        .map(|old| if old.starts_with(&format!("{key}:")) { line.to_owned() } else { old.to_owned() } + "\n")
        .collect();
    let error = Declaration::parse("topics/x.yaml", &text, &Schemas::built_in()).unwrap_err().to_string();
    for said in ["topics/x.yaml"].iter().chain(said) {
        assert!(error.contains(said), "{error:?} should say {said:?}");
    }
}

#[test]
fn what_is_wrong_is_named_with_file_key_value_and_what_is_allowed() {
    check("topic", "topic: 'a b'", &["topic", "a b", "letters"]);
    check("topic", "topic: ..", &["topic"]);
    check("owner", "owner: ' '", &["owner", "a team"]);
    check("partitions", "partitions: 0", &["partitions", "\"0\"", "1 to 1000"]);
    check("replication", "replication: 99", &["replication", "99", "1 to 9"]);
    check("schemas", "schemas: [org.Nobody]", &["schemas", "org.Nobody", "org.coafi.bitt.Outcome"]);
    check("retention", "retention: 7 days", &["retention", "7 days", "unlimited"]);
    check("retention", "retention: 0s", &["retention", "0s"]);
    check("max_message_bytes", "max_message_bytes: 1 GB", &["max_message_bytes", "1 GB", "KiB"]);
    check("retry", "retry: {tiers: [1m, 5s], retention: 7d}", &["retry.tiers", "5s", "above the one before"]);
    check("retry", "retry: {tiers: [], retention: 7d}", &["retry.tiers", "1 to 8"]);
    check("retry", "retry: {tiers: [1h], retention: 1h}", &["retry.retention", "longer"]);
    check("retry", "retry: {tiers: [5s], partitions: 0, retention: 7d}", &["retry.partitions", "\"0\"", "1 to 1000"]);
    check("config", "config: {retention.ms: '1'}", &["config", "retention.ms"]);
    check("cleanup", "cleanup: shred", &["shred"]);
    check("owner", "owner: a\ncolour: red", &["colour"]);
    check("partitions", "", &["partitions"]);
}

#[test]
fn only_a_keyed_topic_is_compacted() {
    let compacted = WHOLE.replace("cleanup: delete", "cleanup: compact");
    assert!(Declaration::parse("f", &compacted, &Schemas::built_in()).is_ok());
    let error = Declaration::parse("f", &compacted.replace("key: repository", ""), &Schemas::built_in())
        .unwrap_err()
        .to_string();
    assert_eq!(error, r#"f: cleanup is "compact"; allowed: delete, where the records have no key"#);
}

#[test]
fn a_topic_is_declared_once() {
    let error = declarations([("a", WHOLE), ("b", WHOLE)], &Schemas::built_in()).unwrap_err().to_string();
    assert_eq!(error, r#"topic "coafi.test" is declared in a and in b"#);
}

#[test]
fn the_files_of_this_repository() {
    let all = embedded().unwrap();
    let names: Vec<&str> = all.iter().map(|declaration| declaration.topic.as_str()).collect();
    for source in ["git", "api", "bitt", "federated", "schedule", "ai", "knowledge", "app", "workflow"] {
        let declared = all.iter().find(|declaration| declaration.topic == format!("coafi.{source}"));
        let declared = declared.unwrap_or_else(|| panic!("coafi.{source} is not among {names:?}"));
        assert!(declared.retry.is_some() && declared.dead_letter.is_some(), "{source}");
    }
    for shared in ["coafi.unprocessed", "coafi.bitt.records", "coafi.results", "coafi.connect.offsets"] {
        assert!(names.contains(&shared), "{shared} is not among {names:?}");
    }
    let find = |name: &str| all.iter().find(|declaration| declaration.topic == name).unwrap();
    assert_eq!(find("coafi.bitt.records").retention, Retention::Unlimited);
    assert_eq!(find("coafi.connect.offsets").cleanup, Cleanup::Compact);
    // Topics of a game day are declared by whoever holds it, so that no cluster gets them by the way.
    for file in Schemas::built_in().iter().filter(|file| file.event_type() != "drill.step") {
        let used = all.iter().any(|declaration| declaration.schemas.contains(file));
        assert!(used, "avro/{}.avsc is a schema of no topic", file.event_type());
    }
}
