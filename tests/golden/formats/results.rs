//! Results in inbox rows: a re-run under any version is answered with them (I9).

use coafi::dispatch::{NewEvent, Step, Success};
use serde_json::json;

use super::{lines, versions};

fn results() -> Vec<(&'static str, Success)> {
    let message = || "done".to_owned();
    let event = NewEvent {
        topic: "coafi.workflow".into(),
        id: "wf-1".into(),
        source: "/coafi/git".into(),
        event_type: "workflow.requested".into(),
        subject: Some("main".into()),
        workflow_hops: None,
        tenant: None,
        key: "repo".into(),
        data: vec![0, 0, 0, 0, 1, 255].into(),
    };
    vec![
        ("least", Success { message: message(), ..Success::default() }),
        (
            "everything",
            Success {
                message: message(),
                workflow_id: Some("wf-1".into()),
                data: json!({"a": [1, null, "é"]}),
                files_processed: Some(2),
                steps: vec![Step { kind: "FILE_PROCESSED".into(), detail: json!({"filePath": "a.md"}) }],
                emit: vec![event.clone(), NewEvent { subject: None, ..event }],
                ..Success::default()
            },
        ),
    ]
}

#[test]
fn results_of_every_version_are_read_to_the_same_value() {
    for version in versions() {
        for (name, stored) in lines(&version.join("inbox_results.txt")) {
            let (_, expected) = results().into_iter().find(|(known, _)| *known == name).expect(&name);
            let read: Success = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, expected, "{}: {name}", version.display());
        }
    }
}

/// An older version reads the members that it knows and leaves out the others: each has to be what it was.
#[test]
fn an_older_version_finds_its_members_in_what_is_stored_today() {
    for version in versions() {
        for (name, stored) in lines(&version.join("inbox_results.txt")) {
            let (_, success) = results().into_iter().find(|(known, _)| *known == name).expect(&name);
            let (old, today) = (serde_json::from_str(&stored).unwrap(), serde_json::to_value(success).unwrap());
            let (serde_json::Value::Object(old), serde_json::Value::Object(today)) = (old, today) else {
                panic!("{name}")
            };
            for (member, value) in old {
                assert_eq!(today.get(&member), Some(&value), "{}: {name}.{member}", version.display());
            }
        }
    }
}
