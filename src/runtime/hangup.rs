//! SIGHUP: read again what may have changed.

use std::io::IsTerminal as _;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::shutdown::SignalError;

/// Listens for the signal, which from then on does not end the process any more.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// `None` where the process has a terminal: there the signal says that the terminal is gone, and ends the process as it
    /// always does.
    ///
    /// # Errors
    /// The system refuses the handler.
    pub fn install() -> Result<Option<Self>, SignalError> {
        if std::io::stdin().is_terminal() {
            return Ok(None);
        }
        Ok(Some(Self(signal(SignalKind::hangup())?)))
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
