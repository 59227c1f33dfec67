//! Says in the log which requests were refused, and why: who makes keys up, who sends what does not fit. Single errors of a body
//! may quote it, and are only counted.

use std::num::NonZeroU32;

use axum::response::Response;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Lines of one code at once, and then each second: a flood of requests is none of lines. The metrics count all of them.
const LINES_AT_ONCE: NonZeroU32 = NonZeroU32::new(20).unwrap();
const LINES_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// What a refusal's response carries for the log.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) detail: String,
    pub(super) errors: usize,
    /// Who was refused, if that is known.
    pub(super) principal: Option<String>,
}

#[derive(Debug)]
pub(super) struct Refusals(DefaultKeyedRateLimiter<&'static str>);

impl Refusals {
    pub(super) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_second(LINES_PER_SECOND).allow_burst(LINES_AT_ONCE)))
    }

    pub(super) fn tell(&self, endpoint: &str, method: &str, response: &Response) {
        let Some(Refusal { code, detail, errors, principal }) = response.extensions().get() else { return };
        if self.0.check_key(code).is_ok() {
            let status = response.status().as_u16();
            tracing::info!(endpoint, method, status, code, %detail, errors, principal, "a request was refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::super::problem::Problem;
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_few_lines_and_hides_no_other() {
        let refusals = Refusals::new();
        let told = (0..1_000).filter(|_| refusals.0.check_key(&"unauthorized").is_ok()).count();
        assert!((20..25).contains(&told), "{told}");
        assert!(refusals.0.check_key(&"forbidden").is_ok());
    }

    #[test]
    fn a_problem_says_who_was_refused_and_shows_no_error_of_the_body() {
        let problem = Problem::unauthorized("no such key").with_errors(vec!["/mail: ada@example.org".to_owned()]);
        let response = problem.by("key:ada").into_response();
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!((refusal.code, refusal.errors, refusal.principal.as_deref()), ("unauthorized", 1, Some("key:ada")));
        assert!(!format!("{refusal:?}").contains("example.org"));
    }
}
