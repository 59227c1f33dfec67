//! Retry policies: how many attempts, where, and when the next one is due.

use std::time::Duration;

/// Exponential back-off with full jitter (every delay is drawn from zero to the exponential value) and a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub initial: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The delay before attempt `attempt + 1`, where `attempt` (from 1) has failed. `random` is any number: the same one
    /// gives the same delay.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.initial.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let ceiling = u64::try_from(doubled.min(self.cap).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(if ceiling == u64::MAX { random } else { random % (ceiling + 1) })
    }
}

/// A route's retries: first in place, then through the retry topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts before the record leaves its place, the first one included; at least 1.
    pub in_place_attempts: u32,
    pub backoff: Backoff,
    /// Delays of the retry topics, one attempt each.
    pub tiers: Vec<Duration>,
    /// Attempts for a record that panics its handler or outlives its deadline, in all.
    pub fault_attempts: u32,
}

impl Policy {
    /// The highest attempt number that the policy allows.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.in_place_attempts + u32::try_from(self.tiers.len()).expect("a handful of tiers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_are_jittered_from_zero() {
        let backoff = Backoff { initial: Duration::from_millis(100), cap: Duration::from_secs(1) };
        for (attempt, ceiling_ms) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000), (u32::MAX, 1000)] {
            let ceiling = Duration::from_millis(ceiling_ms);
            assert_eq!(
                backoff.delay(attempt, u64::try_from(ceiling.as_micros()).unwrap()),
                ceiling,
                "attempt {attempt}"
            );
            assert_eq!(backoff.delay(attempt, 0), Duration::ZERO);
            assert!(backoff.delay(attempt, u64::MAX) <= ceiling);
        }
    }
}
