//! How fast letters are sent.

use std::num::NonZeroU32;
use std::time::Instant;

/// What may be sent at once after a pause is what a fifth of a second allows.
const BURST_SECONDS: f64 = 0.2;

/// A bucket that fills with time.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    level: f64,
    filled: Instant,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { per_second: f64::from(per_second.get()), level: 1.0, filled: Instant::now() }
    }

    /// Whether one more may be sent after `count` that are about to be.
    pub(super) fn allows(&mut self, count: usize) -> bool {
        let now = Instant::now();
        self.fill(now);
        self.level >= count as f64 + 1.0
    }

    pub(super) fn took(&mut self, count: usize) {
        self.level -= count as f64;
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.level = (self.level + gained).min((self.per_second * BURST_SECONDS).max(1.0));
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_brings_what_it_may_and_a_pause_no_more_than_a_burst() {
        let mut pace = Pace::new(NonZeroU32::new(10).unwrap());
        let start = pace.filled;
        let mut sent = 0;
        for step in 0..=20_u32 {
            pace.fill(start + Duration::from_millis(100) * step);
            while pace.level >= 1.0 {
                pace.took(1);
                sent += 1;
            }
        }
        assert!((20..=22).contains(&sent), "{sent} in two seconds");
        pace.fill(start + Duration::from_secs(3_600));
        assert!((pace.level - 2.0).abs() < 1e-9, "{}", pace.level);
    }
}
