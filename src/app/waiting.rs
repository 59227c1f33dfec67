//! What a process that starts waits for: servers that are started together come up in any order.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Between two attempts. A server that is away tells nobody when it is back, so it can only be asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Says what is waited for, once for each reason.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    said: Option<String>,
}

impl Waiting {
    /// Until it is time for another attempt; false if `stop` came first.
    pub(super) async fn for_another_attempt(&mut self, reason: String, stop: &CancellationToken) -> bool {
        if self.said.as_ref() != Some(&reason) {
            tracing::warn!(reason, "waiting to start");
            self.said = Some(reason);
        }
        tokio::time::timeout(RETRY, stop.cancelled()).await.is_err()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let (mut waiting, stop, start) = (Waiting::default(), CancellationToken::new(), Instant::now());
        assert!(waiting.for_another_attempt("away".to_owned(), &stop).await);
        assert_eq!(start.elapsed(), RETRY);
        stop.cancel();
        assert!(!waiting.for_another_attempt("away".to_owned(), &stop).await);
        assert_eq!(start.elapsed(), RETRY);
    }
}
