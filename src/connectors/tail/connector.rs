//! The connector: runs the sources that this process owns.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::ConnectorError;
use super::progress::Progress;
use super::source::{Shared, Source, TailSource};
use crate::connectors::{Admission, PublisherSettings, Sharing, owned};

/// More topics than this in one connector are an error: each has clients of its own.
pub const SOURCES_MAX: usize = 200;

/// A connector, before it runs.
#[derive(Clone, Debug)]
pub struct TailConnector {
    pub sources: Vec<TailSource>,
    pub publisher: PublisherSettings,
    pub admission: Arc<dyn Admission>,
    pub sharing: Sharing,
    /// For people who look at who owns a source, e.g. host and process id.
    pub instance: String,
}

impl TailConnector {
    /// Runs until `stop`; a transaction under way is completed. `progress` shows every source from the start.
    ///
    /// # Errors
    /// [`ConnectorError`]. A source that fails is tried again for ever where that may help; the others go on.
    pub async fn run(
        self,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Progress, ConnectorError> {
        if self.sources.is_empty() || self.sources.len() > SOURCES_MAX {
            return Err(ConnectorError::Sources(self.sources.len()));
        }
        progress.send_modify(|progress| {
            for source in &self.sources {
                progress.sources.entry(source.id.source.clone()).or_default();
            }
        });
        let Self { sources, publisher, admission, sharing, instance } = self;
        let shared = Shared { publisher, admission, instance, progress };
        let sources = sources.into_iter().map(|settings| Source { settings, shared: shared.clone() }).collect();
        let failed = owned::run(sources, &sharing, &shared.publisher, &stop).await?;
        if failed.is_empty() {
            Ok(shared.progress.borrow().clone())
        } else {
            Err(ConnectorError::Failed(failed.into_iter().map(|(id, error)| (id.source, error)).collect()))
        }
    }
}
