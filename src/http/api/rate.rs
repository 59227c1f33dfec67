//! How often each principal may ask: a token bucket each.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock as _, QuantaClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::problem::Problem;

/// Buckets that are kept; beyond, full ones are forgotten.
const PRINCIPALS_MAX: usize = 10_000;

/// Requests of one principal.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

#[derive(Debug)]
pub(super) struct Limiter {
    buckets: RateLimiter<String, HashMapStateStore<String>, QuantaClock>,
    clock: QuantaClock,
    burst: NonZeroU32,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        let (quota, clock) = (Quota::per_second(rate.per_second).allow_burst(rate.burst), QuantaClock::default());
        Self { buckets: RateLimiter::hashmap_with_clock(quota, clock.clone()), clock, burst: rate.burst }
    }

    /// Takes all of this many requests or none; more than a burst counts as a burst, or they would never be taken.
    ///
    /// # Errors
    /// 429 with the time after which they are taken.
    pub(super) fn admit(&self, principal: &str, requests: NonZeroU32) -> Result<(), Problem> {
        if self.buckets.len() >= PRINCIPALS_MAX {
            self.buckets.retain_recent();
        }
        let checked = self.buckets.check_key_n(&principal.to_owned(), requests.min(self.burst));
        let checked = checked.expect("a burst fits the bucket");
        checked.map_err(|not_until| too_many(not_until.wait_time_from(self.clock.now())))
    }
}

fn too_many(wait: Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "this principal has asked too often")
        .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_that_asks_too_often_waits_and_others_do_not() {
        let limiter = Limiter::new(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() });
        let status = |name| limiter.admit(name, NonZeroU32::MIN).map_err(|problem| problem.status.as_u16());
        assert_eq!([status("a"), status("a"), status("a"), status("a")], [Ok(()), Ok(()), Ok(()), Err(429)]);
        assert_eq!(status("b"), Ok(()));
    }

    #[test]
    fn many_at_once_are_taken_whole_or_not_at_all() {
        let limiter = Limiter::new(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() });
        let status = |name, count| {
            limiter.admit(name, NonZeroU32::new(count).unwrap()).map_err(|problem| problem.status.as_u16())
        };
        assert_eq!([status("a", 2), status("a", 2), status("a", 1)], [Ok(()), Err(429), Ok(())]);
        assert_eq!(status("b", 500), Ok(()), "as much as a burst, or it would never be taken");
        assert_eq!(status("b", 1), Err(429));
    }
}
