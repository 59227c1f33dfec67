//! Retry policies: how many attempts, where, and when the next one is due.

use std::time::Duration;

/// Whoever asks for more time than this before the next attempt (HTTP's `Retry-After`) is asked again after it: a record that
/// waits in place holds its lane.
pub const ASKED_WAIT_MAX: Duration = Duration::from_secs(3_600);

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

    /// The first retry topic, from `tier` on, that keeps a record for at least `wait`; the last one if none does. Delays rise.
    #[must_use]
    pub fn tier_for(&self, tier: usize, wait: Duration) -> usize {
        let later = self.tiers.iter().skip(tier).position(|delay| *delay >= wait).map(|further| tier + further);
        later.unwrap_or_else(|| tier.max(self.tiers.len().saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_found_that_keeps_a_record_for_long_enough() {
        let policy = Policy {
            in_place_attempts: 1,
            backoff: Backoff { initial: Duration::ZERO, cap: Duration::ZERO },
            tiers: [5, 60, 600].map(Duration::from_secs).into(),
            fault_attempts: 1,
        };
        for (tier, wait_s, expected) in
            [(0, 0, 0), (0, 5, 0), (0, 6, 1), (0, 61, 2), (0, 601, 2), (1, 1, 1), (1, 600, 2), (2, 1, 2), (2, 3_600, 2)]
        {
            assert_eq!(policy.tier_for(tier, Duration::from_secs(wait_s)), expected, "{tier} {wait_s}");
        }
    }

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
