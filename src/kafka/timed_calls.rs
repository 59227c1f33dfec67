//! Calls into librdkafka that have no time-out of their own, with one.
//!
//! A call that is given up goes on in its thread until librdkafka answers, if it ever does; what it does then, it does late.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Calls that nobody waits for any more. With so many of them no further one is begun.
const MAX_GIVEN_UP: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct TimedCalls {
    given_up: Arc<AtomicUsize>,
}

impl TimedCalls {
    /// What `call` gives, if it does within `limit`.
    pub(super) fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GivenUp> {
        if self.given_up.load(Ordering::Acquire) >= MAX_GIVEN_UP {
            return Err(GivenUp);
        }
        let (answer, answered) = sync_channel(1);
        // Counted as given up from the beginning, so that no end of the call is missed.
        let guard = Guard::new(&self.given_up);
        let begun = std::thread::Builder::new().name("librdkafka call".to_owned()).spawn(move || {
            let result = call();
            drop(guard);
            // Nobody listens if it was given up.
            let _ = answer.send(result);
        });
        if begun.is_err() {
            return Err(GivenUp);
        }
        answered.recv_timeout(limit).map_err(|_| GivenUp)
    }
}

/// There was no answer within the limit, or there are too many calls without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp;

impl From<GivenUp> for KafkaError {
    fn from(_: GivenUp) -> Self {
        Self::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut)
    }
}

/// One call that has not answered yet.
struct Guard(Arc<AtomicUsize>);

impl Guard {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_is_passed_on() {
        let calls = TimedCalls::default();
        assert_eq!(calls.call(LONG, || 7), Ok(7));
        assert_eq!(calls.given_up.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_call_without_an_answer_is_given_up_and_only_so_many_are_begun() {
        let calls = TimedCalls::default();
        let mut ends = Vec::new();
        for _ in 0..MAX_GIVEN_UP {
            let (end, ended) = channel::<()>();
            ends.push(end);
            assert_eq!(calls.call(SOON, move || ended.recv()), Err(GivenUp));
        }
        assert_eq!(calls.call(LONG, || ()), Err(GivenUp), "there are too many");
        drop(ends);
        while calls.given_up.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        assert!(calls.call(LONG, || ()).is_ok());
    }
}
