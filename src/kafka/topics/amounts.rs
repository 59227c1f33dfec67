//! Times and sizes as topic declarations write them.

use std::time::Duration;

pub(super) const DURATION_ALLOWED: &str = "a whole number with ms, s, m, h or d, such as 5s or 7d";
pub(super) const SIZE_ALLOWED: &str = "a whole number of bytes, or one with KiB or MiB";

/// As the configuration writes it.
pub(super) fn duration(text: &str) -> Option<Duration> {
    crate::config::parse_duration(text)
}

pub(super) fn bytes(text: &str) -> Option<u32> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    // Kafka's limit is an int32.
    number.checked_mul(factor).and_then(|n| i32::try_from(n).ok()).and_then(|n| u32::try_from(n).ok())
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_and_nothing_else() {
        for (text, ms) in
            [("250ms", Some(250)), ("5s", Some(5_000)), ("7d", Some(604_800_000)), ("5", None), ("d", None)]
        {
            assert_eq!(duration(text).map(|d| d.as_millis()), ms, "{text}");
        }
        for (text, n) in
            [("7", Some(7)), ("1 MiB", Some(1 << 20)), ("64KiB", Some(65_536)), ("3GB", None), ("4096 MiB", None)]
        {
            assert_eq!(bytes(text), n, "{text}");
        }
    }
}
