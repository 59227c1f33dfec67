//! Times, durations and sizes as people write them: cron expressions, delays, bounds.

use std::time::Duration;

use jiff::Timestamp;

use super::{Target, choice, text};
use crate::config::{format_duration, format_size, parse_duration, parse_size};
use crate::dispatch::{ConsumedTopic, delay, retry_topic};
use crate::kafka::scan::Bound;
use crate::schedule::{Name, Timetable};

inventory::submit! { Target { name: "times", run } }

fn run(bytes: &[u8]) {
    let Some((kind, rest)) = choice(bytes) else { return };
    let Some(text) = text(rest) else { return };
    match kind % 2 {
        0 => timetable(text),
        _ => amounts(text),
    }
}

/// A cron expression, and after a line's end its zone.
fn timetable(text: &str) {
    let (cron, zone) = text.split_once('\n').unwrap_or((text, "Europe/Berlin"));
    let Ok(timetable) = Timetable::cron(cron, zone) else { return };
    for second in [0, 1_774_746_000, 1_792_890_000, 4_102_444_799] {
        let mut time = Timestamp::from_second(second).expect("within the calendar");
        for _ in 0..3 {
            let Some(next) = timetable.next_after(time) else { break };
            assert!(next > time, "{timetable}: {next} after {time}");
            // Not `time` itself, which need not be due.
            if let Some(last) = timetable.last_before(next) {
                assert!(last <= time, "{timetable}: {last} is between {time} and {next}");
            }
            time = next;
        }
    }
}

fn amounts(text: &str) {
    if let Some(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
    }
    if let Some(size) = parse_size(text) {
        assert_eq!(parse_size(&format_size(size)), Some(size));
    }
    if let Ok(wait) = delay::parse(text) {
        assert_eq!(delay::parse(&delay::format(wait)), Ok(wait));
        let topic = retry_topic("coafi.git", wait);
        assert_eq!(ConsumedTopic::parse(&topic).tier, Some(wait), "{topic}");
    }
    let topic = ConsumedTopic::parse(text);
    assert!(topic.tier.is_none_or(|tier| tier <= Duration::from_millis(u64::MAX)));
    if let Ok(bound) = text.parse::<Bound>() {
        assert_eq!(bound.to_string().parse(), Ok(bound));
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.as_str(), text);
    }
}
