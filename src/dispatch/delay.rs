//! Delays as routes and topic names write them: `200ms`, `5s`, `1m`, `2h`.

use std::time::Duration;

/// What [`parse`] accepts, for error messages.
pub const ALLOWED: &str = "a whole number with ms, s, m or h, such as 200ms, 5s or 10m";

/// # Errors
/// [`ALLOWED`], if it is anything else.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| ALLOWED)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(ALLOWED),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(ALLOWED)
}

/// The shortest form that [`parse`] reads back; below a millisecond is cut off.
#[must_use]
pub fn format(delay: Duration) -> String {
    let ms = delay.as_millis();
    for (unit, unit_ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms > 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back() {
        for text in ["0ms", "1ms", "1500ms", "5s", "90s", "1m", "10m", "2h", "25h"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        for text in ["", "5", "s", "-5s", "5 s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h", "٣s"]
        {
            assert_eq!(parse(text), Err(ALLOWED), "{text:?}");
        }
    }
}
