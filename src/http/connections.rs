//! Serves connections within bounds, which axum's own server does not know: how many there are, how large a head may be, how
//! slowly it may come, and how slowly an answer may be taken.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::patience::Patient;
use super::server::GRACE;

/// Names of headers in one request.
const HEADERS_MAX: usize = 100;
/// After an error that is not one connection's (no file descriptor is left): it may pass, and asking at once would spin.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// At a time. More wait in the system's queue.
    pub connections: usize,
    /// Request line and headers; at least 8 KiB. Beyond: 431.
    pub header_max_bytes: usize,
    /// For request line and headers, between two requests of a connection, and for the caller to take a piece of its answer.
    pub header_timeout: Duration,
}

/// Serves until `stop`, then finishes open requests for [`GRACE`] at most; what is still open then is cut.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_max_bytes)
        .max_headers(HEADERS_MAX);
    let (graceful, slots) = (GracefulShutdown::new(), Arc::new(Semaphore::new(limits.connections)));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes the semaphore");
            (accept(&listener).await, slot)
        };
        let (stream, slot) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let service = TowerToHyperService::new(router.clone());
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(Patient::new(stream, limits.header_timeout)), service));
        open.spawn(async move {
            // A caller that goes away is none of our trouble.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(slot);
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    let mut ended = pin!(graceful.shutdown());
    // What is left is aborted with the set.
    let _ = tokio::time::timeout(GRACE, &mut ended).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written in one piece; waiting for more helps nobody.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
