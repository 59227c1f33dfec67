//! Takes a changed routes file into a running replica.
//!
//! The file's content is looked at each second, which finds every way of replacing it (an editor, a Kubernetes ConfigMap's
//! swapped symlink), and at once on SIGHUP. Content counts once two looks in a row have found it, so that a file is not
//! read while it is being written. It is judged as at the start; one that is refused changes nothing, and is said once.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::observed::Observed;
use super::topics;
use crate::dispatch::{Known, Routing, Services};
use crate::kafka::Rerouter;
use crate::kafka::topics::Declaration;
use crate::runtime::Hangup;
use crate::telemetry::Metrics;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What can be wrong with a file that would be right at a start.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("its routes take events of {topics}, which this replica has not subscribed to; restart it to use them")]
    NotSubscribed { topics: String },
    #[error("on_loss is another one for {topics}; restart the replica to use it")]
    OnLoss { topics: String },
}

/// What is read: the file's content, or why it cannot be read.
type Content = Result<String, String>;

pub(super) struct Reload {
    pub(super) file: PathBuf,
    /// No file was there at the start, and none was asked for.
    pub(super) built_in: bool,
    /// What the routes in force were made of.
    pub(super) text: String,
    /// What routes may name: the configuration is not read again.
    pub(super) known: Known,
    pub(super) declarations: Vec<Declaration>,
    pub(super) subscribed: Vec<String>,
    pub(super) continue_after_loss: BTreeSet<String>,
    pub(super) services: Arc<Services>,
    pub(super) in_force: watch::Sender<Arc<Routing>>,
    pub(super) rerouter: Rerouter<Observed>,
    pub(super) metrics: Option<Arc<Metrics>>,
}

impl Reload {
    /// Watches until it is told to stop.
    pub(super) async fn run(mut self, mut hangup: Option<Hangup>, stop: CancellationToken) -> Result<(), Infallible> {
        if let Some(metrics) = &self.metrics {
            metrics.routes_in_force(self.routing().routes().version());
        }
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        let mut judged: Content = Ok(std::mem::take(&mut self.text));
        let mut seen: Option<Content> = None;
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                () = Hangup::next(hangup.as_mut()) => true,
                () = stop.cancelled() => return Ok(()),
            };
            let (file, built_in) = (self.file.clone(), self.built_in);
            let read = tokio::task::spawn_blocking(move || topics::routes_text(&file, built_in));
            let content = match read.await {
                Ok(content) => content.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let stands = seen.as_ref() == Some(&content);
            if asked || (content != judged && stands) {
                self.judge(&content);
                judged.clone_from(&content);
            }
            seen = Some(content);
        }
    }

    fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.in_force.borrow())
    }

    fn judge(&self, content: &Content) {
        let before = self.routing();
        let before = before.routes().version();
        let taken = match content {
            Ok(text) => self.take(text).map_err(|error| format!("{error:#}")),
            Err(unreadable) => Err(unreadable.clone()),
        };
        let now = self.routing();
        let now = now.routes();
        match &taken {
            Ok(()) if now.version() == before => {
                tracing::info!(version = before, "the routes file says what is in force already");
            }
            Ok(()) => tracing::info!(version = now.version(), before, routes = now.list().len(), "routes reloaded"),
            Err(error) => {
                tracing::error!(error, in_force = before, "the routes file is refused; the routes in force stay");
            }
        }
        if let Some(metrics) = &self.metrics {
            metrics.routes_reloaded(taken.is_ok().then(|| now.version()));
        }
    }

    fn take(&self, text: &str) -> anyhow::Result<()> {
        let routes = topics::parse_routes(&self.file, text, &self.known)?;
        let in_force = self.routing();
        if routes.version() == in_force.routes().version() {
            return Ok(());
        }
        let wanted = topics::consumed(&routes, &self.declarations);
        let missing: Vec<_> = wanted.into_iter().filter(|topic| !self.subscribed.contains(topic)).collect();
        if !missing.is_empty() {
            return Err(Refusal::NotSubscribed { topics: missing.join(", ") }.into());
        }
        let lossy = topics::continue_after_loss(&routes, &self.subscribed);
        let changed: Vec<_> = lossy.symmetric_difference(&self.continue_after_loss).cloned().collect();
        if !changed.is_empty() {
            return Err(Refusal::OnLoss { topics: changed.join(", ") }.into());
        }
        let next = in_force.followed_by(Arc::new(routes), &self.services)?;
        self.rerouter.reroute(Arc::clone(&next), next.policies());
        self.in_force.send_replace(next);
        Ok(())
    }
}
