//! Binds, serves, and ends gracefully.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connections::{ConnectionLimits, serve};

/// How long open requests may take after the server was told to end: a bound, not a wait. It is done with the last of them.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A bound server. Binding is apart from serving, so that a taken port ends the start and not some task later.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(
        "address {address} is in use by another process; choose another one with {setting} or {}",
        variable(setting)
    )]
    InUse { setting: &'static str, address: SocketAddr },
    #[error("cannot listen on {address}, which {setting} says")]
    Bind { setting: &'static str, address: SocketAddr, source: std::io::Error },
    #[error("the HTTP server on {address} ended")]
    Serve { address: SocketAddr, source: std::io::Error },
}

/// The environment variable of a setting.
fn variable(setting: &str) -> String {
    format!("COAFI__{}", setting.to_uppercase().replace('.', "__"))
}

impl Server {
    /// `setting`: which says the address, such as `http.listen`.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not permitted.
    pub async fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, HttpError> {
        let bind = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => HttpError::InUse { setting, address },
            _ => HttpError::Bind { setting, address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address })
    }

    /// The address that was bound: port 0 has become a real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then finishes open requests for a few seconds at most.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn run(self, router: Router, stop: CancellationToken) -> Result<(), HttpError> {
        let Self { listener, address } = self;
        let told = stop.clone();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move { told.cancelled().await });
        let mut serving = pin!(serving.into_future());
        let failed = |source| HttpError::Serve { address, source };
        tokio::select! {
            ended = &mut serving => return ended.map_err(failed),
            () = stop.cancelled() => {}
        }
        // What is still open after that is cut.
        tokio::time::timeout(GRACE, serving).await.map_or(Ok(()), |ended| ended.map_err(failed))
    }

    /// As [`Self::run`], within `limits`: for pages that strangers reach.
    ///
    /// # Errors
    /// None: what fails is one connection's, or passes.
    pub async fn run_within(
        self,
        router: Router,
        limits: ConnectionLimits,
        stop: CancellationToken,
    ) -> Result<(), HttpError> {
        serve(self.listener, router, limits, stop).await;
        Ok(())
    }
}
