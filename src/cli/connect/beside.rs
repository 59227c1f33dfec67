//! A connector as `coafi connect` runs it: beside its pages, its progress bar and the signals that end it.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::consume::flush;
use crate::cli::serving::{Watched, serve_connector};
use crate::cli::{Bar, Context, Failure};
use crate::runtime::{Shutdown, TaskError, Tasks};
use crate::schema::registry;
use crate::telemetry::Telemetry;

/// What a connector that is to run has around it.
pub(super) struct Beside<'a> {
    pub(super) context: &'a Context,
    pub(super) telemetry: Telemetry,
    /// From before the connector was made: a signal before that ends the process.
    pub(super) shutdown: Shutdown,
    /// Whether /health, /ready and /metrics are served.
    pub(super) pages: bool,
    /// What the bar counts.
    pub(super) counts: &'a str,
}

impl Beside<'_> {
    /// Runs what `start` makes until it ends or is told to. It is given what tells it to end and where it reports to.
    ///
    /// # Errors
    /// The pages cannot be served, or fail; that of the connector is inside.
    pub(super) async fn run<P, W>(
        self,
        show: impl Fn(&Bar, &P),
        start: impl FnOnce(CancellationToken, watch::Sender<P>) -> W,
    ) -> Result<W::Output, Failure>
    where
        P: Watched + Default,
        W: Future,
    {
        let Self { context, telemetry, shutdown, pages, counts } = self;
        let (report, mut reports) = watch::channel(P::default());
        // The pages are there before the connector, and end after it.
        let serving = CancellationToken::new();
        let mut tasks = Tasks::new(serving.clone());
        if pages {
            let registry = registry::Client::new(context.places().registry).map_err(anyhow::Error::new)?;
            let http = &context.settings().http;
            serve_connector(&mut tasks, http, reports.clone(), registry, telemetry.metrics()).await?;
        }
        let stop = shutdown.token();
        let running = start(stop.clone(), report);
        let bar = context.output().bar(counts, None);
        let showing = async {
            while reports.changed().await.is_ok() {
                show(&bar, &reports.borrow_and_update());
            }
        };
        let working = async { tokio::join!(running, showing).0 };
        let (ended, pages) = shutdown.watch(with_pages(working, tasks, serving, &stop)).await;
        drop(bar);
        flush(context, telemetry).await;
        pages.map_err(|error| Failure::failed(error.to_string()).because(error))?;
        Ok(ended)
    }
}

/// A connector beside its pages, which end after it. Pages that fail end the connector; it is never without them.
async fn with_pages<T>(
    working: impl Future<Output = T>,
    tasks: Tasks,
    serving: CancellationToken,
    stop: &CancellationToken,
) -> (T, Result<(), TaskError>) {
    let working = async {
        let ended = working.await;
        serving.cancel();
        ended
    };
    let watching = async {
        let pages = tasks.join().await;
        if pages.is_err() {
            stop.cancel();
        }
        pages
    };
    tokio::join!(working, watching)
}
