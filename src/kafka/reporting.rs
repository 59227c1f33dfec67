//! Publishes what a replica says of itself, about once a second, for those who ask why a partition does not move.
//!
//! A thread and a producer of its own: it reports while the poll thread or a handler hangs, and neither waits for it. What
//! cannot be published in time is dropped, for the next report says more; that is logged once, and never stops the replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::error::KafkaError;
use tracing::{info, warn};

use super::DriverError;
use super::config::Config;
use super::context::Reporter;
use super::sink::{Deliveries, Sink};
use super::status::{Status, StatusCell};
use super::stop::Stop;
use crate::event::Outgoing;
use crate::runtime::Clock;

/// Between two reports.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the last report may take to be acknowledged.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes records of a replica's status. Only the application knows what they look like.
pub trait StatusRecords: Send + 'static {
    /// `since_beat`: how long ago the poll thread came round. `None` if it cannot be written down yet. May wait.
    fn report(&mut self, status: &Status, since_beat: Duration) -> Option<Outgoing>;

    /// Takes the last report back: the replica has ended in good order.
    fn farewell(&self) -> Option<Outgoing>;
}

pub(super) struct Reporting {
    pub(super) records: Box<dyn StatusRecords>,
    pub(super) status: Arc<StatusCell>,
    pub(super) clock: Clock,
    pub(super) stop: Stop,
    sink: Sink<Dropped>,
    dropped: Arc<Dropped>,
}

impl Reporting {
    pub(super) fn start(
        config: &Config,
        reporter: Reporter,
        records: Box<dyn StatusRecords>,
        clock: Clock,
        stop: Stop,
    ) -> Result<Self, DriverError> {
        let (status, dropped) = (Arc::clone(&reporter.status), Arc::<Dropped>::default());
        let sink = Sink::new(&config.status_producer()?, reporter, Arc::clone(&dropped))?;
        Ok(Self { records, status, clock, stop, sink, dropped })
    }

    pub(super) fn run(mut self) {
        while !self.stop.wait(INTERVAL) {
            let report = self.report();
            self.send(report);
        }
        let last = if self.status.snapshot().ended_well { self.records.farewell() } else { self.report() };
        self.send(last);
        self.sink.drain(LAST_TIMEOUT, || false);
    }

    fn report(&mut self) -> Option<Outgoing> {
        let status = self.status.snapshot();
        self.records.report(&status, self.status.since_beat(self.clock.now()))
    }

    fn send(&self, report: Option<Outgoing>) {
        if let Some(report) = report
            && let Err(error) = self.sink.try_send(&report, ())
        {
            self.dropped.note(&error);
        }
    }
}

/// Reports that were not published, said once until one is.
#[derive(Debug, Default)]
struct Dropped {
    said: AtomicBool,
}

impl Dropped {
    fn note(&self, error: &KafkaError) {
        if !self.said.swap(true, Ordering::Relaxed) {
            warn!("this replica's status is not published, `coafi group why` knows less: {error}");
        }
    }
}

impl Deliveries for Dropped {
    type Opaque = ();

    fn delivered(&self, result: Result<(), &KafkaError>, (): ()) {
        match result {
            Err(error) => self.note(error),
            Ok(()) if self.said.swap(false, Ordering::Relaxed) => info!("this replica's status is published again"),
            Ok(()) => {}
        }
    }
}
