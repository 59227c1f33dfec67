use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::json;

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn schedule(timetable: Timetable, missed: Missed) -> Schedule {
    Schedule {
        name: "report".parse().unwrap(),
        timetable,
        event_type: "schedule.fired".to_owned(),
        data: json!({}),
        missed,
        grace: GRACE,
        enabled: true,
    }
}

/// The next due times, on the wall clock of the zone with its offset.
fn next(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let timetable = Timetable::cron(cron, zone).unwrap();
    let first = timetable.next_after(time(after));
    let all = std::iter::successors(first, |due| timetable.next_after(*due));
    all.take(count).map(|due| due.to_zoned(timetable.zone()).strftime("%m-%dT%H:%M:%S%:z").to_string()).collect()
}

#[test]
fn cron_expressions_have_five_fields_or_six() {
    let after = "2026-02-27T23:59:58Z";
    assert_eq!(next("* * * * * *", "UTC", after, 2), ["02-27T23:59:59+00:00", "02-28T00:00:00+00:00"]);
    assert_eq!(next("0 6 * * MON-FRI", "UTC", after, 2), ["03-02T06:00:00+00:00", "03-03T06:00:00+00:00"]);
    assert_eq!(next("30 0 6 L * *", "UTC", after, 1), ["02-28T06:00:30+00:00"]);
    assert_eq!(next("0 12 29 2 *", "UTC", after, 1), ["02-29T12:00:00+00:00"]);
    // Either of day and weekday, where both are given, as cron has it.
    assert_eq!(next("0 0 1 * MON", "UTC", after, 2), ["03-01T00:00:00+00:00", "03-02T00:00:00+00:00"]);
    assert_eq!(next("@daily", "Asia/Kathmandu", after, 1), ["03-01T00:00:00+05:45"]);
}

#[test]
fn what_is_no_timetable_says_what_is_allowed() {
    let check = |bad: BadTimetable, expected: &str| {
        let said = bad.to_string();
        assert!(said.contains(expected), "{said}");
    };
    check(Timetable::cron("61 * * * *", "UTC").unwrap_err(), "\"61 * * * *\" is no cron expression");
    check(Timetable::cron("* * * *", "UTC").unwrap_err(), "allowed: [second] minute hour day month weekday");
    check(Timetable::cron("0 0 0 1 1 * 2031", "UTC").unwrap_err(), "is no cron expression");
    check(Timetable::cron(&"1,".repeat(200), "UTC").unwrap_err(), "400 bytes");
    check(Timetable::cron("0 0 30 2 *", "UTC").unwrap_err(), "never comes");
    check(Timetable::cron("0 0 * * *", "Mars/Olympus").unwrap_err(), "allowed: names such as UTC or Europe/Berlin");
    check(Timetable::every(Duration::from_millis(1_500)).unwrap_err(), "whole seconds");
    check(Timetable::every(Duration::ZERO).unwrap_err(), "from 1s");
}

#[test]
fn an_interval_is_counted_from_the_epoch() {
    let timetable = Timetable::every(Duration::from_secs(900)).unwrap();
    let due = time("2026-01-01T10:15:00Z");
    assert_eq!(timetable.next_after(time("2026-01-01T10:07:03.5Z")), Some(due));
    assert_eq!(timetable.next_after(due), Some(time("2026-01-01T10:30:00Z")));
    assert_eq!(timetable.last_before(due), Some(time("2026-01-01T10:00:00Z")));
    assert_eq!(timetable.last_before(time("2026-01-01T10:15:00.1Z")), Some(due));
    assert_eq!(timetable.next_after(time("1969-12-31T23:59:59.5Z")), Some(Timestamp::UNIX_EPOCH));
    assert_eq!(timetable.next_after(Timestamp::MAX), None);
}

// --- The clock goes forward: times that do not exist ---

#[test]
fn one_time_of_day_in_a_gap_fires_at_its_end() {
    let after = "2026-03-28T23:00:00Z";
    assert_eq!(next("30 2 * * *", "Europe/Berlin", after, 2), ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]);
    let after = "2026-03-08T06:00:00Z";
    assert_eq!(next("0 2 * * *", "America/New_York", after, 2), ["03-08T03:00:00-04:00", "03-09T02:00:00-04:00"]);
    // Half an hour only.
    let after = "2026-10-03T12:00:00Z";
    assert_eq!(next("15 2 * * *", "Australia/Lord_Howe", after, 2), ["10-04T02:30:00+11:00", "10-05T02:15:00+11:00"]);
    // At midnight: the day has none.
    let after = "2026-09-05T12:00:00Z";
    assert_eq!(next("0 0 * * *", "America/Santiago", after, 2), ["09-06T01:00:00-03:00", "09-07T00:00:00-03:00"]);
}

#[test]
fn several_times_in_a_gap_do_not_exist() {
    let after = "2026-03-29T00:39:00Z";
    let expected = ["03-29T01:40:00+01:00", "03-29T01:50:00+01:00", "03-29T03:00:00+02:00", "03-29T03:10:00+02:00"];
    assert_eq!(next("*/10 * * * *", "Europe/Berlin", after, 4), expected);
    let expected = ["03-29T14:00:00+02:00", "03-30T02:00:00+02:00"];
    assert_eq!(next("0 2,14 * * *", "Europe/Berlin", after, 2), expected);
}

/// A fixed time before a gap is not repeated at its end.
#[test]
fn a_time_before_a_gap_fires_once() {
    let after = "2026-03-28T12:00:00Z";
    assert_eq!(next("0 1 * * *", "Europe/Berlin", after, 2), ["03-29T01:00:00+01:00", "03-30T01:00:00+02:00"]);
    assert_eq!(next("0 3 * * *", "Europe/Berlin", after, 2), ["03-29T03:00:00+02:00", "03-30T03:00:00+02:00"]);
}

// --- The clock goes back: times that come twice ---

#[test]
fn one_time_of_day_in_an_overlap_fires_the_first_time() {
    let after = "2026-10-24T22:00:00Z";
    assert_eq!(next("30 2 * * *", "Europe/Berlin", after, 2), ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]);
    let after = "2026-11-01T04:00:00Z";
    assert_eq!(next("30 1 * * *", "America/New_York", after, 2), ["11-01T01:30:00-04:00", "11-02T01:30:00-05:00"]);
}

#[test]
fn several_times_in_an_overlap_fire_both_times() {
    let after = "2026-10-24T23:59:00Z";
    let expected = [
        "10-25T02:00:00+02:00",
        "10-25T02:30:00+02:00",
        "10-25T02:00:00+01:00",
        "10-25T02:30:00+01:00",
        "10-25T03:00:00+01:00",
    ];
    assert_eq!(next("*/30 * * * *", "Europe/Berlin", after, 5), expected);
}

/// What is caught up is looked for from the end, what is fired from the beginning: both find the same.
#[test]
fn both_directions_find_the_same_times() {
    let crons =
        ["*/10 * * * *", "30 2 * * *", "0 0 * * *", "0 1 * * *", "0 2,14 * * *", "15 */20 2 * * *", "0 3 * * SUN"];
    let days = ["2026-03-08", "2026-03-29", "2026-04-05", "2026-09-06", "2026-10-04", "2026-10-25", "2026-11-01"];
    for zone in ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Tehran"] {
        for (cron, day) in crons.iter().flat_map(|cron| days.map(|day| (cron, day))) {
            let timetable = Timetable::cron(cron, zone).unwrap();
            let noon: DateTime = format!("{day}T12:00:00").parse().unwrap();
            let noon = noon.to_zoned(timetable.zone()).unwrap().timestamp();
            let (from, to) = (noon - Duration::from_secs(86_400), noon + Duration::from_secs(86_400));
            let forward = std::iter::successors(timetable.next_after(from), |due| timetable.next_after(*due));
            let forward: Vec<_> = forward.take_while(|due| *due < to).collect();
            let back = std::iter::successors(timetable.last_before(to), |due| timetable.last_before(*due));
            let mut back: Vec<_> = back.take_while(|due| *due > from).collect();
            back.reverse();
            assert_eq!(forward, back, "{cron} in {zone} on {day}");
        }
    }
}

// --- Decisions ---

/// Decisions in words: `fired 12:00`, `skipped 12:00..12:05 (6) missed`.
fn decided(schedule: &Schedule, standing: &Standing, now: &str) -> Vec<String> {
    let clock = |time: Timestamp| time.strftime("%H:%M:%S").to_string();
    let step = decide(schedule, standing, time(now));
    assert!(!step.more);
    let word = |decision: &Decision| match decision {
        Decision::Fire(Fire { due, reason: Reason::OnTime }) => format!("fired {}", clock(*due)),
        Decision::Fire(Fire { due, .. }) => format!("caught up {}", clock(*due)),
        Decision::Skip(Skip { first, last, count, why }) => {
            format!("skipped {}..{} ({count}) {}", clock(*first), clock(*last), why.code())
        }
    };
    step.decisions.iter().map(word).collect()
}

fn minutely(missed: Missed) -> Schedule {
    schedule(Timetable::cron("* * * * *", "UTC").unwrap(), missed)
}

fn since(schedule: &Schedule, at: &str) -> Standing {
    Standing::new(&schedule.timetable, time(at))
}

#[test]
fn nothing_is_due_before_its_time_and_nothing_twice() {
    let minutely = minutely(Missed::Latest);
    let mut standing = since(&minutely, "2026-01-01T12:00:30Z");
    assert!(decided(&minutely, &standing, "2026-01-01T12:00:59.999Z").is_empty());
    assert_eq!(decided(&minutely, &standing, "2026-01-01T12:01:00Z"), ["fired 12:01:00"]);
    standing.decided_to = decide(&minutely, &standing, time("2026-01-01T12:01:00Z")).decided_to;
    assert!(decided(&minutely, &standing, "2026-01-01T12:01:00Z").is_empty());
    // A clock that is put back decides nothing anew.
    assert!(decided(&minutely, &standing, "2026-01-01T11:00:00Z").is_empty());
}

#[test]
fn a_takeover_within_the_grace_skips_nothing_whatever_the_policy() {
    for missed in [Missed::Skip, Missed::Latest, Missed::All(1)] {
        let secondly = schedule(Timetable::every(Duration::from_secs(1)).unwrap(), missed);
        let standing = since(&secondly, "2026-01-01T12:00:00Z");
        let step = decide(&secondly, &standing, time("2026-01-01T12:00:20.5Z"));
        let due = |decision: &Decision| match decision {
            Decision::Fire(Fire { due, reason: Reason::OnTime }) => due.as_second(),
            other => panic!("{other:?}"),
        };
        let first = time("2026-01-01T12:00:01Z").as_second();
        assert_eq!(step.decisions.iter().map(due).collect::<Vec<_>>(), (first..first + 20).collect::<Vec<_>>());
    }
}

#[test]
fn missed_fires_are_skipped_or_caught_up_by_policy() {
    let check = |missed: Missed, now: &str, expected: &[&str]| {
        let hourly = schedule(Timetable::cron("0 * * * *", "UTC").unwrap(), missed);
        assert_eq!(decided(&hourly, &since(&hourly, "2026-01-01T02:30:00Z"), now), expected, "{missed:?}");
    };
    let (between, on_time) = ("2026-01-01T06:30:00Z", "2026-01-01T06:00:20Z");
    check(Missed::Skip, between, &["skipped 03:00:00..06:00:00 (4) missed"]);
    check(Missed::Skip, on_time, &["skipped 03:00:00..05:00:00 (3) missed", "fired 06:00:00"]);
    check(Missed::Latest, between, &["skipped 03:00:00..05:00:00 (3) superseded", "caught up 06:00:00"]);
    check(Missed::Latest, on_time, &["skipped 03:00:00..05:00:00 (3) superseded", "fired 06:00:00"]);
    check(
        Missed::All(2),
        between,
        &["skipped 03:00:00..04:00:00 (2) beyond_limit", "caught up 05:00:00", "caught up 06:00:00"],
    );
    check(Missed::All(9), "2026-01-01T04:00:20Z", &["caught up 03:00:00", "fired 04:00:00"]);
    check(Missed::Latest, "2026-01-01T02:59:00Z", &[]);
}

#[test]
fn a_pause_skips_what_comes_after_it() {
    let minutely = minutely(Missed::Latest);
    let mut standing = since(&minutely, "2026-01-01T12:00:30Z");
    standing.paused = Some(Pause { at: time("2026-01-01T12:02:30Z"), by: "ada".to_owned(), reason: None });
    let expected =
        ["skipped 12:01:00..12:01:00 (1) superseded", "caught up 12:02:00", "skipped 12:03:00..12:10:00 (8) paused"];
    assert_eq!(decided(&minutely, &standing, "2026-01-01T12:10:00Z"), expected, "what was due before it is not lost");
    assert_eq!(decided(&minutely, &standing, "2026-01-01T12:02:00Z"), ["fired 12:01:00", "fired 12:02:00"]);
}

#[test]
fn a_disabled_schedule_skips_all() {
    let mut minutely = minutely(Missed::All(5));
    minutely.enabled = false;
    let standing = since(&minutely, "2026-01-01T12:00:30Z");
    assert_eq!(decided(&minutely, &standing, "2026-01-01T12:02:00Z"), ["skipped 12:01:00..12:02:00 (2) disabled"]);
}

#[test]
fn a_long_absence_is_decided_in_bounded_steps() {
    let secondly = |missed| schedule(Timetable::every(Duration::from_secs(1)).unwrap(), missed);
    let (all, from) = (secondly(Missed::All(1_200)), "2026-01-01T00:00:00Z");
    let mut standing = since(&all, from);
    let (mut fires, mut skips, mut steps, now) = (0, 0, 0, time("2026-01-02T00:00:00Z"));
    loop {
        let step = decide(&all, &standing, now);
        steps += 1;
        for decision in &step.decisions {
            match decision {
                Decision::Fire(_) => fires += 1,
                Decision::Skip(skip) => skips += skip.count,
            }
        }
        assert!(step.decisions.len() <= FIRES_MAX + 1, "{}", step.decisions.len());
        standing.decided_to = step.decided_to;
        if !step.more {
            break;
        }
    }
    assert_eq!((fires, fires + skips), (1_200 + 61, 86_400), "those within the grace are on time");
    assert!(steps <= 86_400 / STEP_MAX as u32 + 5, "{steps}");
    assert_eq!(standing.decided_to, now);
}

#[test]
fn ids_follow_from_name_and_due_time_alone() {
    let due = time("2026-10-25T00:30:00Z");
    let id = |reason| Fire { due, reason }.id();
    assert_eq!(id(Reason::OnTime), "2026-10-25T00:30:00Z");
    assert_eq!((id(Reason::CaughtUp), id(Reason::Backfilled)), (id(Reason::OnTime), id(Reason::OnTime)));
    assert_eq!(id(Reason::Triggered), "2026-10-25T00:30:00Z/triggered");
    let name: Name = "daily.report".parse().unwrap();
    assert_eq!(name.source(), "/coafi/schedules/daily.report");
    for bad in ["", "-a", "a b", "a/b", "ä", &"a".repeat(101)] {
        assert!(bad.parse::<Name>().is_err(), "{bad}");
    }
}

#[test]
fn a_standing_reads_back_and_one_of_a_newer_version_is_refused() {
    let minutely = minutely(Missed::Skip);
    let mut standing = since(&minutely, "2026-01-01T12:00:30Z");
    standing.paused =
        Some(Pause { at: time("2026-01-01T13:00:00Z"), by: "ada".to_owned(), reason: Some("why".to_owned()) });
    let written = standing.written();
    assert_eq!(Standing::read(&written), Ok(standing));
    let expected = json!({"v": 1, "timetable": "* * * * * UTC", "decided_to": "2026-01-01T12:00:30Z",
        "paused": {"at": "2026-01-01T13:00:00Z", "by": "ada", "reason": "why"}});
    assert_eq!(written, expected);
    let newer = json!({"v": 2, "timetable": "", "decided_to": "2026-01-01T12:00:30Z"});
    assert!(Standing::read(&newer).unwrap_err().to_string().contains("version 2"));
}
