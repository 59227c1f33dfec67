//! What connectors have published, by source.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// One source that a connector watches, since the connector took it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProgress {
    /// The repository, say.
    pub source: Arc<str>,
    /// Events in committed transactions.
    pub published: u64,
    /// What is found and not published yet.
    pub backlog: u64,
    /// It is tried again after an error.
    pub failing: bool,
}

/// Written once per second, read per scrape.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<Vec<SourceProgress>>);

impl Sources {
    pub(super) fn set(&self, sources: Vec<SourceProgress>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    fn each(&self, mut observe: impl FnMut(&SourceProgress, &[KeyValue])) {
        for source in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            observe(source, &[KeyValue::new("source", Arc::clone(&source.source))]);
        }
    }
}

/// Makes the instruments; a process without a connector has no values of them.
pub(super) fn observe(sources: &Arc<Sources>, meter: &Meter) {
    let published = Arc::clone(sources);
    meter
        .u64_observable_counter("coafi_source_events")
        .with_description("Events that the connector has published")
        .with_callback(move |observer| published.each(|source, labels| observer.observe(source.published, labels)))
        .build();
    let backlog = Arc::clone(sources);
    meter
        .u64_observable_gauge("coafi_source_backlog")
        .with_description("What the connector has found and not published yet")
        .with_callback(move |observer| backlog.each(|source, labels| observer.observe(source.backlog, labels)))
        .build();
    let failing = Arc::clone(sources);
    meter
        .u64_observable_gauge("coafi_source_failing")
        .with_description("1 while the connector's last look at the source has failed")
        .with_callback(move |observer| {
            failing.each(|source, labels| observer.observe(u64::from(source.failing), labels));
        })
        .build();
}
