//! Durations (`100ms`, `10s`, `1m`, `2h`, `7d`) and sizes (`512B`, `64KiB`, `64MiB`, `1GiB`) as people write them.

use std::time::Duration;

use serde::Deserialize;

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A whole number and its unit; `0` needs none. `None` for anything else.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// The shortest form that [`parse_duration`] reads back.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// A whole number and its unit in bytes; `0` needs none. `None` for anything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// The shortest form that [`parse_size`] reads back.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    format(bytes, &SIZE_UNITS)
}

/// A duration in an event's data, as [`parse_duration`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WrittenDuration(pub Duration);

impl TryFrom<String> for WrittenDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = parse_duration(&text).map(Self);
        read.ok_or_else(|| format!("{text:?} is no whole number with ms, s, m, h or d, such as 7d"))
    }
}

impl std::fmt::Display for WrittenDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format(value: u64, units: &[(&str, u64)]) -> String {
    let largest = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (name, factor) = largest.unwrap_or(&units[0]);
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_written() {
        for (text, ms) in [("100ms", 100), ("10s", 10_000), ("1m", 60_000), ("2h", 7_200_000), ("7d", 604_800_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)));
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("64MiB", 67_108_864), ("1GiB", 1_073_741_824)] {
            assert_eq!(parse_size(text), Some(bytes));
            assert_eq!(format_size(bytes), text);
        }
        assert_eq!((parse_duration("0"), format_duration(Duration::ZERO)), (Some(Duration::ZERO), "0ms".into()));
    }

    #[test]
    fn a_duration_in_data_is_read_as_it_was_written() {
        let read: WrittenDuration = serde_json::from_str("\"90d\"").unwrap();
        assert_eq!(read.to_string(), "90d");
        let error = serde_json::from_str::<WrittenDuration>("\"soon\"").unwrap_err().to_string();
        assert!(error.contains("\"soon\" is no whole number"), "{error}");
    }

    #[test]
    fn what_is_ambiguous_or_too_large_is_refused() {
        for text in
            ["", "s", "10", "-1s", "1.5s", "10 parsecs", "1m30s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        for text in ["64M", "64mb", "1e3B"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }
}
