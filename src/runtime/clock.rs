//! The clock that feeds the engine: monotonic, with the wall-clock time of its origin.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::Time;

/// Maps between the engine's [`Time`], the monotonic clock and wall-clock milliseconds. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_unix: Duration,
}

/// The wall clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn unix_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

impl Clock {
    /// Starts at [`Time`] zero.
    #[must_use]
    pub fn start() -> Self {
        let origin_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_unix }
    }

    #[must_use]
    pub fn now(&self) -> Time {
        Time::default() + self.origin.elapsed()
    }

    /// The engine's time at `unix_ms` (milliseconds since the Unix epoch); what lies before the origin is zero.
    #[must_use]
    pub fn at_unix_ms(&self, unix_ms: i64) -> Time {
        let since_epoch = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
        Time::default() + since_epoch.saturating_sub(self.origin_unix)
    }

    /// Milliseconds since the Unix epoch at `time`.
    #[must_use]
    pub fn unix_ms(&self, time: Time) -> i64 {
        i64::try_from((self.origin_unix + (time - Time::default())).as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_come_back() {
        let clock = Clock::start();
        let due = clock.unix_ms(Time(5_000_000));
        assert!((clock.at_unix_ms(due) - Time::default()).as_millis().abs_diff(5_000) <= 1);
        assert_eq!(clock.at_unix_ms(-1), Time(0));
    }
}
