//! The replay window: how far a delivery's time may be from now, for schemes that sign a time.

use std::time::Duration;

use super::refused::Refused;

/// Allowed distance, either way: clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub Duration);

impl Window {
    /// Whether `text`, seconds since the Unix epoch, is within the window around `now_ms`.
    pub(super) fn check(self, header: &str, text: &str, now_ms: i64) -> Result<(), Refused> {
        let seconds: i64 =
            text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(|| {
                Refused::Malformed { header: header.to_owned(), allowed: "seconds since 1970, in digits".to_owned() }
            })?;
        let apart = Duration::from_secs(seconds.abs_diff(now_ms.div_euclid(1_000)));
        if apart > self.0 {
            return Err(Refused::OutOfWindow { header: header.to_owned(), apart, allowed: self.0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_within_the_window_or_refused() {
        let check = |text: &str, expected: Result<(), &str>| {
            let checked = Window(Duration::from_secs(300)).check("webhook-timestamp", text, 1_000_999);
            match (checked, expected) {
                (Ok(()), Ok(())) => {}
                (Err(refused), Err(part)) => assert!(refused.to_string().contains(part), "{text}: {refused}"),
                (checked, _) => panic!("{text}: {checked:?}"),
            }
        };
        for text in ["1000", "700", "1300"] {
            check(text, Ok(()));
        }
        check("699", Err("webhook-timestamp is 301s from now; allowed: at most 5m"));
        check("1301", Err("301s"));
        check("9223372036854775807", Err("from now"));
        for text in ["", "-1000", "+1000", "1e3", "99999999999999999999", " 1000"] {
            check(text, Err("allowed: seconds since 1970"));
        }
    }
}
