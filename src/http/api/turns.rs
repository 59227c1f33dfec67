//! How many bodies are taken at a time whose sender is known only by the body: strangers must not fill the memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

const AT_A_TIME_MAX: usize = 64;
/// For a turn, before anything of the body is read. Senders give up after ten seconds (GitHub) or later.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Cheap to clone: the turns are the same.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// What a body is called here.
    bodies: &'static str,
    free: Arc<Semaphore>,
}

impl Turns {
    /// `bodies`: what they are called.
    pub(super) fn new(bodies: &'static str) -> Self {
        Self { bodies, free: Arc::new(Semaphore::new(AT_A_TIME_MAX)) }
    }

    /// Waits for a turn, which ends when it is dropped.
    ///
    /// # Errors
    /// 503: none was free for two seconds.
    pub(super) async fn next(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.free).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            Problem::unavailable(format!("too many {} at a time; allowed: {AT_A_TIME_MAX}", self.bodies))
        })?;
        Ok(turn.expect("nobody closes the semaphore"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_turn_waits_for_one_within_the_bound() {
        let turns = Turns::new("bodies");
        let mut taken = Vec::new();
        for _ in 0..AT_A_TIME_MAX {
            taken.push(turns.next().await.unwrap());
        }
        let (next, ()) = tokio::join!(turns.next(), async { drop(taken.pop()) });
        taken.push(next.unwrap());
        let problem = turns.next().await.unwrap_err();
        assert_eq!(problem.status.as_u16(), 503);
        assert!(format!("{problem:?}").contains("too many bodies at a time; allowed: 64"), "{problem:?}");
    }
}
