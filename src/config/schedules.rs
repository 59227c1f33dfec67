//! The schedules that `coafi connect schedule` fires.

use std::collections::BTreeSet;
use std::time::Duration;

use config::{Value, ValueKind};
use serde_json::Value as Json;

use super::section::Section;
use super::units::parse_duration;
use crate::schedule::{DATA_MAX_BYTES, GRACE, LIMIT_MAX, Missed, Name, Schedule, Timetable};

/// More schedules than this in one configuration are an error.
const SCHEDULES_MAX: usize = 1_000;

/// Bytes of an event type.
const TYPE_MAX_BYTES: usize = 200;

/// Longer than this nobody is late on time.
const GRACE_MAX: Duration = Duration::from_secs(3_600);

/// Deeper nesting of data is refused.
const DEPTH_MAX: usize = 32;

/// The type of events that no other is given for.
pub(super) const DEFAULT_TYPE: &str = "schedule.fired";

/// The list under `schedules`; what is wrong is noted and left out.
pub(super) fn read(root: &mut Section<'_>) -> Vec<Schedule> {
    let read = root.sections("schedules", "name", schedule);
    if read.len() > SCHEDULES_MAX {
        root.reject("schedules", format!("there are {}; allowed: at most {SCHEDULES_MAX}", read.len()));
    }
    let mut names = BTreeSet::new();
    for (index, schedule) in read.iter().enumerate() {
        if schedule.as_ref().is_some_and(|schedule| !names.insert(schedule.name.clone())) {
            root.reject(&format!("schedules[{index}].name"), "two schedules have this name");
        }
    }
    read.into_iter().flatten().collect()
}

fn schedule(section: &mut Section<'_>) -> Option<Schedule> {
    let name = name(section);
    let timetable = timetable(section);
    let event_type = section.parsed(
        "type",
        DEFAULT_TYPE.to_owned(),
        "an event type without blanks, such as GenerateReport",
        |text| is_type(text).then(|| text.to_owned()),
        Clone::clone,
    );
    let data = data(section);
    let policies = [("latest", Missed::Latest), ("skip", Missed::Skip), ("all", Missed::All(LIMIT_MAX))];
    let missed = section.choice("missed", &policies);
    let limit = section.integer("missed_limit", 100, 1..=LIMIT_MAX);
    let grace = section.duration("grace", GRACE, Duration::ZERO..=GRACE_MAX);
    let enabled = section.boolean("enabled", true);
    let missed = if let Missed::All(_) = missed { Missed::All(limit) } else { missed };
    Some(Schedule { name: name?, timetable: timetable?, event_type, data: data?, missed, grace, enabled })
}

fn name(section: &mut Section<'_>) -> Option<Name> {
    let text = section.optional_text("name");
    let name = text.as_deref().map(str::parse::<Name>);
    match name {
        None => section.reject("name", "is missing; allowed: a name of its own, such as daily-report"),
        Some(Err(bad)) => section.reject("name", bad.to_string()),
        Some(Ok(name)) => return Some(name),
    }
    None
}

fn timetable(section: &mut Section<'_>) -> Option<Timetable> {
    let (cron, every) = (section.optional_text("cron"), section.optional_text("every"));
    let zone = section.optional_text("time_zone");
    let (key, timetable) = match (cron, every) {
        (Some(cron), None) => ("cron", Timetable::cron(&cron, zone.as_deref().unwrap_or("UTC"))),
        (None, Some(every)) => {
            if zone.is_some() {
                section.reject("time_zone", "an interval has none; it counts real time");
            }
            let Some(interval) = parse_duration(&every) else {
                section.reject("every", format!("{every:?} is not allowed; allowed: a duration, such as 30s or 15m"));
                return None;
            };
            ("every", Timetable::every(interval))
        }
        (Some(_), Some(_)) => {
            section.reject("every", "there is a cron too; allowed: one of both");
            return None;
        }
        (None, None) => {
            section.reject("cron", "is missing; allowed: a cron expression, or every with a duration");
            return None;
        }
    };
    timetable.map_err(|bad| section.reject(key, bad.to_string())).ok()
}

fn is_type(text: &str) -> bool {
    !text.is_empty() && text.len() <= TYPE_MAX_BYTES && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

/// Any YAML, as JSON.
fn data(section: &mut Section<'_>) -> Option<Json> {
    let Some(value) = section.find("data") else {
        section.note("data", "{}", "default".into());
        return Some(Json::Object(serde_json::Map::new()));
    };
    let origin = super::values::origin(&section.path_of("data"), &value);
    let Some(data) = json(value, 0) else {
        section.reject("data", format!("it is nested more than {DEPTH_MAX} deep"));
        return None;
    };
    let text = data.to_string();
    section.note("data", &text, origin);
    if text.len() > DATA_MAX_BYTES {
        section.reject("data", format!("it has {} bytes; allowed: at most {DATA_MAX_BYTES}", text.len()));
        return None;
    }
    Some(data)
}

fn json(value: Value, depth: usize) -> Option<Json> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match value.kind {
        ValueKind::Nil => Json::Null,
        ValueKind::Boolean(value) => value.into(),
        ValueKind::I64(value) => value.into(),
        ValueKind::U64(value) => value.into(),
        // JSON readers have no larger numbers.
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => value.into(),
        ValueKind::String(value) => value.into(),
        ValueKind::Table(table) => {
            let members = table.into_iter().map(|(key, value)| Some((key, json(value, depth + 1)?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
        ValueKind::Array(items) => {
            Json::Array(items.into_iter().map(|item| json(item, depth + 1)).collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::config::{Sources, load};

    fn schedules(yaml: &str) -> Result<Vec<Schedule>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file: PathBuf = directory.path().join("c.yaml");
        std::fs::write(&file, yaml).unwrap();
        let loaded = load(&Sources { file: Some(file), ..Sources::default() });
        // The file lies in a directory of the test's own.
        let short =
            |line: &str| line.split_once("/c.yaml").map_or(line.to_owned(), |(_, rest)| format!("c.yaml{rest}"));
        let short = |text: String| text.lines().map(short).collect::<Vec<_>>().join("\n");
        loaded.map(|loaded| loaded.settings.schedules).map_err(|error| short(error.to_string()))
    }

    #[test]
    fn every_key_of_a_schedule_is_read() {
        let yaml = "
schedules:
  - name: health
    every: 15m
  - name: daily-report
    cron: 30 6 * * MON-FRI
    time_zone: Europe/Berlin
    type: GenerateReport
    data: {Format: html, pages: [1, 2.5, null, true], to: {name: Ada}}
    missed: all
    missed_limit: 3
    grace: 5m
    enabled: false
";
        let read = schedules(yaml).unwrap();
        let health = Schedule {
            name: "health".parse().unwrap(),
            timetable: Timetable::every(Duration::from_secs(900)).unwrap(),
            event_type: "schedule.fired".to_owned(),
            data: json!({}),
            missed: Missed::Latest,
            grace: GRACE,
            enabled: true,
        };
        let report = Schedule {
            name: "daily-report".parse().unwrap(),
            timetable: Timetable::cron("30 6 * * MON-FRI", "Europe/Berlin").unwrap(),
            event_type: "GenerateReport".to_owned(),
            data: json!({"Format": "html", "pages": [1, 2.5, null, true], "to": {"name": "Ada"}}),
            missed: Missed::All(3),
            grace: Duration::from_secs(300),
            enabled: false,
        };
        assert_eq!(read, [health, report]);
    }

    #[test]
    fn what_is_wrong_in_a_schedule_is_named() {
        let check = |yaml: &str, expected: Expect| expected.assert_eq(&schedules(yaml).unwrap_err());
        check(
            "schedules: [just-a-name, {cron: '* * * * *'}, {name: a/b, every: 1s}]",
            expect![[r#"
                c.yaml: schedules[0].cron: is missing; allowed: a cron expression, or every with a duration
                c.yaml: schedules[1].name: is missing; allowed: a name of its own, such as daily-report
                c.yaml: schedules[2].name: "a/b" is no name; allowed: 1 to 100 letters, digits, ".", "_" and "-", a letter or digit first"#]],
        );
        check(
            "schedules: [{name: a, cron: '* * *'}, {name: b, every: 10ms}, {name: c, every: soon}, {name: d, every: 1s, time_zone: UTC}]",
            expect![[r#"
                c.yaml: schedules[0].cron: "* * *" is no cron expression: Invalid pattern: Pattern must have 5 or 6 fields when years are disallowed; allowed: [second] minute hour day month weekday, such as 0 6 * * MON-FRI
                c.yaml: schedules[1].every: an interval of 10ms is not allowed; allowed: whole seconds, from 1s to 31622400s
                c.yaml: schedules[2].every: "soon" is not allowed; allowed: a duration, such as 30s or 15m
                c.yaml: schedules[3].time_zone: an interval has none; it counts real time"#]],
        );
        check(
            "schedules: [{name: a, every: 1s, type: 'a b', missed: never}, {name: a, every: 1s}]",
            expect![[r#"
                c.yaml: schedules[0].type: "a b" is not allowed; allowed: an event type without blanks, such as GenerateReport
                c.yaml: schedules[0].missed: "never" is not allowed; allowed: latest, skip, all
                c.yaml: schedules[1].name: two schedules have this name"#]],
        );
        let long = format!("schedules: [{{name: a, every: 1s, data: {}}}]", "x".repeat(DATA_MAX_BYTES));
        assert!(schedules(&long).unwrap_err().contains("allowed: at most 16384"));
    }
}
