//! The dispatcher with a tally and timers at its side: counts and measures what is committed, changes nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::Tally;
use super::replay::Passing;
use crate::dispatch::{Delivery, Dispatcher, Report, Routing};
use crate::engine::{Arrival, Dependency, Epoch, Job, Output, PartitionId, Rerouted};
use crate::event::{Identity, NextOffset, Offset, Outgoing, Record, TopicPartition};
use crate::kafka::{Application, PolledBatch, Trouble};
use crate::runtime::Clock;
use crate::store::Fence;
use crate::telemetry::{Metrics, RouteTimer};

pub(super) struct Observed {
    pub(super) dispatcher: Dispatcher,
    pub(super) tally: Option<Arc<Tally>>,
    pub(super) timers: Option<Timers>,
    /// What it changes after all, if this is a replay.
    pub(super) replay: Option<Arc<Passing>>,
}

/// The clocks of the routes, by name: one of the same name in a later version has the same.
pub(super) struct Timers {
    metrics: Arc<Metrics>,
    by_name: Mutex<FxHashMap<String, RouteTimer>>,
}

impl Timers {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, by_name: Mutex::default() }
    }

    /// Measures the handlers of attempts that are committed.
    fn measure(&self, outputs: &[Output<Arc<Delivery>, Report>]) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for report in outputs.iter().filter_map(|output| output.report.as_ref()) {
            let name = &report.route.route().name;
            if !by_name.contains_key(name) {
                by_name.insert(name.clone(), self.metrics.route_timer(name));
            }
            report.runs.iter().for_each(|run| by_name[name].took(run.took));
        }
    }
}

impl Application for Observed {
    type Payload = Arc<Delivery>;
    type Report = Report;
    type Routes = Arc<Routing>;

    fn classify(&self, routes: &Self::Routes, record: Record, clock: &Clock) -> Arrival<Self::Payload> {
        let arrival = self.dispatcher.classify(routes, record, clock);
        match &self.replay {
            Some(replay) => replay.look(arrival),
            None => arrival,
        }
    }

    fn reclassify(&self, routes: &Self::Routes, payload: &Self::Payload) -> Rerouted<Self::Payload> {
        self.dispatcher.reclassify(routes, payload)
    }

    fn retire(&self, routes: &Self::Routes) {
        self.dispatcher.retire(routes);
    }

    fn identity(&self, record: &Record) -> Option<Identity> {
        self.dispatcher.identity(record)
    }

    fn submit(&self, run: Vec<Job<Self::Payload>>, fence: Option<&Fence>) {
        self.dispatcher.submit(run, fence);
    }

    fn recall(&self, partition: PartitionId, epoch: Epoch) {
        self.dispatcher.recall(partition, epoch);
    }

    fn cancel(&self, partition: PartitionId, epoch: Epoch) {
        self.dispatcher.cancel(partition, epoch);
    }

    fn receipts(&self, batch: &PolledBatch<'_, Self::Payload>) -> Vec<Outgoing> {
        let receipts = match &self.replay {
            Some(replay) => {
                let meant = batch.records.iter().filter(|arrival| replay.takes(&arrival.payload));
                let meant: Vec<_> = meant.cloned().collect();
                self.dispatcher.receipts(&PolledBatch { records: &meant, ..batch.clone() })
            }
            None => self.dispatcher.receipts(batch),
        };
        if let Some(tally) = &self.tally {
            tally.count_receipts(receipts.len());
        }
        receipts
    }

    fn render(
        &self,
        source: &TopicPartition,
        output: &Output<Self::Payload, Self::Report>,
        clock: &Clock,
        into: &mut Vec<Outgoing>,
    ) {
        match &self.replay {
            Some(replay) if replay.takes(&output.payload) => {
                let mut rendered = Vec::new();
                self.dispatcher.render(source, output, clock, &mut rendered);
                into.extend(replay.hold_back(output, rendered));
            }
            Some(_) => {}
            None => self.dispatcher.render(source, output, clock, into),
        }
    }

    fn committed(&self, outputs: &[Output<Self::Payload, Self::Report>]) {
        if let Some(replay) = &self.replay {
            for output in outputs.iter().filter(|output| replay.takes(&output.payload)) {
                self.dispatcher.committed(std::slice::from_ref(output));
                replay.committed(output);
            }
            return;
        }
        self.dispatcher.committed(outputs);
        if let Some(tally) = &self.tally {
            outputs.iter().for_each(|output| tally.count(output));
        }
        if let Some(timers) = &self.timers {
            timers.measure(outputs);
        }
    }

    fn trouble(&self, report: &Self::Report) -> Option<Trouble> {
        self.dispatcher.trouble(report)
    }

    fn tenant(&self, payload: &Self::Payload) -> Option<String> {
        self.dispatcher.tenant(payload)
    }

    fn events_lost(&self, source: &TopicPartition, from: Offset, to: NextOffset) -> Vec<Outgoing> {
        self.dispatcher.events_lost(source, from, to)
    }

    fn down(&self, dependencies: BTreeSet<Dependency>) {
        self.dispatcher.down(dependencies);
    }

    fn probe(&self, dependency: &Dependency, answer: Box<dyn FnOnce(bool) + Send>) {
        self.dispatcher.probe(dependency, answer);
    }
}
