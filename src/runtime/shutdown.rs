//! SIGTERM and SIGINT: the first asks for a clean end (drain, commit, leave the group), the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice, as shells report SIGINT.
const ENDED_AT_ONCE: i32 = 130;

/// Listens for signals. Made once, as early as possible: a signal before that ends the process.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    token: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
#[error("signal handlers cannot be installed")]
pub struct SignalError(#[from] std::io::Error);

impl Shutdown {
    /// # Errors
    /// The system refuses the handlers.
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            token: CancellationToken::new(),
        })
    }

    /// Cancelled by the first signal.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `work` and watches for signals meanwhile. The first one cancels the token, after which `work` is to end by
    /// itself; the second ends the process.
    pub async fn watch<T>(mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => return result,
            name = self.next() => {
                tracing::info!(signal = name, "stopping: finishing what runs; a second signal ends at once");
                self.token.cancel();
            }
        }
        tokio::select! {
            result = work => result,
            name = self.next() => {
                tracing::warn!(signal = name, "ended at once; what was not committed will be handled again");
                std::process::exit(ENDED_AT_ONCE);
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
