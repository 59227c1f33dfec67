//! The dispatcher with a tally and timers at its side: counts and measures what is committed, changes nothing.

use std::sync::Arc;

use super::Tally;
use super::replay::Passing;
use crate::dispatch::{Delivery, Dispatcher, Report};
use crate::engine::{Arrival, Dependency, Epoch, Job, Output, PartitionId};
use crate::event::{NextOffset, Offset, Outgoing, Record, TopicPartition};
use crate::kafka::{Application, PolledBatch, Trouble};
use crate::runtime::Clock;
use crate::store::Fence;
use crate::telemetry::RouteTimer;

pub(super) struct Observed {
    pub(super) dispatcher: Dispatcher,
    pub(super) tally: Option<Arc<Tally>>,
    /// One per route, in the order of their ids; none if nobody measures.
    pub(super) timers: Vec<RouteTimer>,
    /// What it changes after all, if this is a replay.
    pub(super) replay: Option<Arc<Passing>>,
}

impl Application for Observed {
    type Payload = Arc<Delivery>;
    type Report = Report;

    fn classify(&self, record: Record, clock: &Clock) -> Arrival<Self::Payload> {
        let arrival = self.dispatcher.classify(record, clock);
        match &self.replay {
            Some(replay) => replay.look(arrival, self.dispatcher.routes()),
            None => arrival,
        }
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
                let meant =
                    batch.records.iter().filter(|arrival| replay.takes(&arrival.payload, self.dispatcher.routes()));
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
            Some(replay) if replay.takes(&output.payload, self.dispatcher.routes()) => {
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
            for output in outputs.iter().filter(|output| replay.takes(&output.payload, self.dispatcher.routes())) {
                self.dispatcher.committed(std::slice::from_ref(output));
                replay.committed(output);
            }
            return;
        }
        self.dispatcher.committed(outputs);
        if let Some(tally) = &self.tally {
            outputs.iter().for_each(|output| tally.count(output));
        }
        for output in outputs {
            let timer = output.route.and_then(|route| self.timers.get(route.0 as usize));
            if let (Some(timer), Some(report)) = (timer, &output.report) {
                report.runs.iter().for_each(|run| timer.took(run.took));
            }
        }
    }

    fn trouble(&self, report: &Self::Report) -> Option<Trouble> {
        self.dispatcher.trouble(report)
    }

    fn events_lost(&self, source: &TopicPartition, from: Offset, to: NextOffset) -> Vec<Outgoing> {
        self.dispatcher.events_lost(source, from, to)
    }

    fn probe(&self, dependency: &Dependency, answer: Box<dyn FnOnce(bool) + Send>) {
        self.dispatcher.probe(dependency, answer);
    }
}
