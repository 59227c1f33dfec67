//! What is hidden of events' data, looked for wherever people look.

use serde_json::json;

use crate::event::attributes;
use crate::topic::Record;
use crate::world::World;

const MAIL: &str = "ada@example.org";
const RULES: &str = "redaction:\n  - {types: [drill.step], fields: [/action]}\n";

/// A drill whose decoding fails with a message that quotes the field.
fn drill(event_type: &str) -> Record {
    let data = json!({"key": "open", "sequence": 1, "action": MAIL, "times": 1, "emit": false, "write": false});
    Record {
        key: Some(b"a".to_vec()),
        value: Some(data.to_string().into_bytes()),
        ..attributes(event_type, "/product")
    }
    .without("content-type")
    .with("content-type", "application/json")
}

#[test]
fn what_is_redacted_is_told_nowhere_and_kept_in_the_record() {
    let world = World::new("redaction");
    std::fs::write(world.path("coafi.yaml"), RULES).unwrap();
    let route =
        format!("  - name: drills\n    match: {{type: 'drill.*', topic: {}}}\n    handler: drill\n", world.topic);
    world.change_routes(|routes| routes + &route);
    let (hidden, open) = (drill("drill.step"), drill("drill.open"));
    world.send(&hidden);
    world.send(&open);
    let consumed = world.run(&["consume", "--exit-when-idle", "3s"]);
    assert_eq!(consumed.code(), Some(0), "{}", consumed.stderr);
    let log = format!("{}{}", consumed.stdout, consumed.stderr);
    let lines_of = |event: &Record| {
        let id = event.header("ce_id").unwrap();
        log.lines().filter(|line| line.contains(id)).map(str::to_owned).collect::<Vec<_>>()
    };
    let told = |lines: &[String]| lines.iter().any(|line| line.contains(MAIL));
    assert!(told(&lines_of(&open)), "the log of what is not redacted quotes the data: {log}");
    assert!(!lines_of(&hidden).is_empty() && !told(&lines_of(&hidden)), "{log}");

    let message = |event: &Record| world.end_of(event).error.expect("it failed");
    assert!(message(&open).contains(MAIL));
    let scrubbed = message(&hidden);
    assert!(scrubbed.contains("[redacted]") && !scrubbed.contains(MAIL), "{scrubbed}");

    let letters = world.dead_letters();
    let letter = letters.iter().find(|read| read.record.header("ce_id") == hidden.header("ce_id")).unwrap();
    assert_eq!(letter.record.value, hidden.value, "the record stays as it was");
    let said = letter.record.header("coafi-error-message").unwrap();
    assert!(said.contains("[redacted]"), "{said}");
    let values = letter.record.headers.iter().filter_map(|(_, value)| value.as_deref());
    let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
    assert!(!values.iter().any(|value| value.contains(MAIL)), "{values:?}");
    let name = format!("{}.dlq/{}/{}", world.topic, letter.partition, letter.offset);
    let shown = world.run(&["dlq", "show", &name, "--output", "json"]).json();
    assert_eq!((&shown["data"]["action"], &shown["data"]["key"]), (&"[redacted]".into(), &"open".into()));
    assert!(!shown.to_string().contains(MAIL), "{shown}");
    for arguments in
        [&["dlq", "list", "--topic", &world.topic][..], &["event", "show", hidden.header("ce_id").unwrap()]]
    {
        let said = world.run(arguments).well();
        assert!(!said.contains(MAIL), "{said}");
    }
}
