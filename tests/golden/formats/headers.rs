//! Headers of the records that one version writes and another one handles: retries, dead letters, derived events. The
//! files are those that `src/dispatch/render` is held against, as they were in each version.

use std::path::Path;

use coafi::dispatch::ConsumedTopic;
use coafi::dispatch::hop::{Hop, Origin};
use coafi::event::{Attribute, Event, Offset, Record, RecordBuilder};

use super::{files, repository, text, versions};

/// Stands for a time of the test that wrote the file.
const DUE: &str = "<due>";

/// Name and value of every header, in order.
fn headers(dump: &str) -> Vec<(&str, &str)> {
    dump.lines().skip(2).take_while(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(": ")).collect()
}

fn record(path: &Path) -> Record {
    let dump = text(path);
    let mut builder = RecordBuilder::new(Some(b"key"), Some(b"{}"), 1_024);
    for (name, value) in headers(&dump) {
        let value = if value == DUE { "1763740805000" } else { value };
        builder.header(name.as_bytes(), Some(value.as_bytes()));
    }
    let topic = dump.lines().next().and_then(|line| line.strip_prefix("topic: ")).unwrap();
    builder.build(topic.into(), 0, Offset(0), None)
}

#[test]
fn retries_of_every_version_go_on_where_they_are() {
    for version in versions() {
        for (file, first_failure_ms, partition, offset) in
            [("retry.txt", 1_763_740_800_004, 3, 7), ("retry_of_a_retry.txt", 1_763_740_000_000, 1, 42)]
        {
            let record = record(&version.join("headers").join(file));
            let hop = Hop::read(ConsumedTopic::parse(record.topic()), &record).unwrap().unwrap();
            let origin = Origin { topic: "coafi.git".into(), partition, offset };
            let expected = Hop {
                attempts: 2,
                done: vec!["a".into()],
                not_before_ms: Some(1_763_740_805_000),
                first_failure_ms: Some(first_failure_ms),
                origin: Some(origin),
                ..Hop::default()
            };
            assert_eq!(hop, expected, "{}: {file}", version.display());
            assert_eq!(Event::parse(record).unwrap().id(), "id-7");
        }
    }
}

#[test]
fn derived_events_of_every_version_are_events() {
    for version in versions() {
        let event = Event::parse(record(&version.join("headers/derived.txt"))).unwrap();
        assert_eq!((event.id(), event.source(), event.event_type()), ("derived-1", "/coafi/git", "workflow.requested"));
        assert_eq!(event.correlation_id(), "id-7");
        assert_eq!(event.attribute(Attribute::CausationId), Some("id-7"));
        assert_eq!(event.utids().collect::<Vec<_>>(), ["UT-1", "UT-2"]);
    }
}

/// What an older version looks for is there, with the value that it had.
#[test]
fn todays_records_have_the_headers_of_every_version() {
    for version in versions() {
        for (file, path) in files(&version.join("headers")) {
            let today = text(&repository().join("tests/golden/dispatch").join(&file));
            let (old, today) = (
                text(&path),
                headers(&today).into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>(),
            );
            for (name, value) in headers(&old) {
                let found = today.iter().any(|(known, now)| known == name && now == value);
                assert!(found, "{}: {file}: {name}: {value} is not in {today:?}", version.display());
            }
        }
    }
}
