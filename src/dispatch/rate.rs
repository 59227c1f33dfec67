//! A route's rate limit: a token bucket that all workers share.

#![allow(clippy::disallowed_methods, reason = "a limiter waits: the one place of dispatch that needs the timer")]

use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::routes::RateLimit;

/// Takes no lock; waiting is up to the caller's task.
#[derive(Debug)]
pub(super) struct Limiter {
    bucket: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        let clock = TokioClock(Instant::now());
        Self { bucket: RateLimiter::direct_with_clock(quota, clock), clock }
    }

    /// Waits for a token.
    #[expect(clippy::disallowed_methods, reason = "a rate limit is a wait by the clock")]
    pub(super) async fn admit(&self) {
        while let Err(refused) = self.bucket.check() {
            let wait = refused.wait_time_from(self.clock.now());
            tokio::time::sleep(wait.max(MIN_WAIT)).await;
        }
    }
}

/// The timer's resolution.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// The runtime's clock, so that a paused one pauses the limiter too.
#[derive(Clone, Copy, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_the_rate() {
        let positive = |n| NonZeroU32::new(n).unwrap();
        let limiter = Limiter::new(RateLimit { per_second: positive(10), burst: positive(5) });
        let start = Instant::now();
        for _ in 0..5 {
            limiter.admit().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            limiter.admit().await;
        }
        let took = start.elapsed();
        assert!((1_990..2_100).contains(&took.as_millis()), "{took:?}");
    }
}
