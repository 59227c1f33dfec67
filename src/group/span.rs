//! Durations as people say them.

/// A duration in its two largest units; never less than a second.
#[must_use]
pub fn span(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut seconds = (ms / 1_000).max(1);
    let mut parts = Vec::new();
    for (unit, name) in UNITS {
        if parts.len() < 2 && seconds >= unit {
            parts.push(format!("{} {name}", seconds / unit));
            seconds %= unit;
        } else if !parts.is_empty() {
            // No "1 d 5 s".
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        for (seconds, expected) in [
            (0, "1 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (3_605, "1 h"),
            (7_500, "2 h 5 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds * 1_000), expected);
        }
        assert_eq!(span(-5), "1 s");
    }
}
