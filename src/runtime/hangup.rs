//! SIGHUP: read again what may have changed.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::shutdown::SignalError;

/// Listens for the signal, which from then on does not end the process any more.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// # Errors
    /// The system refuses the handler.
    pub fn install() -> Result<Self, SignalError> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// The next time that the signal comes; never, if nobody listens for it.
    pub async fn next(hangup: Option<&mut Self>) {
        let came = match hangup {
            Some(Self(signal)) => signal.recv().await.is_some(),
            None => false,
        };
        if !came {
            std::future::pending().await
        }
    }
}
