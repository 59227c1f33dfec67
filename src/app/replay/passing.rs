//! What a replay changes of a replica's work: what is not meant is passed over, and what would leave is held back.
//!
//! | what an event comes to | live | replay | isolated |
//! |---|---|---|---|
//! | outcome record, receipts | written | written, with the replay's group and run | as a replay |
//! | derived events | written | written, with header `coafi-run` | held back |
//! | retry topic | by policy | never: attempts are made in place only | never |
//! | dead letter, unprocessed | written | held back: the event is still where it was | held back |
//!
//! A record that is not meant resolves without an outcome: the plan says which those are, and the run's audit records are
//! about the events that are meant and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Plan;
use crate::dispatch::{Delivery, Report, hop};
use crate::engine::{Arrival, Output, Verdict};
use crate::event::{HeadersBuilder, Outgoing};

/// One replay's part in what its replica does.
#[derive(Debug)]
pub(in crate::app) struct Passing {
    pub(in crate::app) plan: Plan,
    pub(in crate::app) isolated: bool,
    /// Marks derived events.
    pub(in crate::app) run: String,
    /// Events that have come to their end.
    done: AtomicU64,
}

impl Passing {
    pub(in crate::app) fn new(plan: Plan, isolated: bool, run: &str) -> Self {
        Self { plan, isolated, run: run.to_owned(), done: AtomicU64::new(0) }
    }

    pub(in crate::app) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether the record is to be handled. One of a disabled route is not: it would wait, and the replay with it.
    pub(in crate::app) fn takes(&self, delivery: &Delivery) -> bool {
        let record = delivery.record();
        delivery.route.as_ref().is_none_or(|routed| routed.route().enabled)
            && self.plan.takes(&record.topic_partition(), record.offset())
    }

    /// What is not meant is no route's: the engine then ends it at once, and nothing of it is rendered.
    pub(in crate::app) fn look(&self, mut arrival: Arrival<Arc<Delivery>>) -> Arrival<Arc<Delivery>> {
        if !self.takes(&arrival.payload) {
            arrival.verdict = Verdict::Unrecognised;
        }
        arrival
    }

    /// Of what an output was rendered to, what is written: its outcome first, as it always is.
    pub(in crate::app) fn hold_back(
        &self,
        output: &Output<Arc<Delivery>, Report>,
        rendered: Vec<Outgoing>,
    ) -> Vec<Outgoing> {
        let derived = output.report.iter().flat_map(|report| &report.runs).filter_map(|run| run.result.as_ref().ok());
        let derived = derived.map(|success| success.emit.len()).sum::<usize>();
        let first_derived = rendered.len() - derived;
        let mut kept = Vec::with_capacity(1 + derived);
        for (index, outgoing) in rendered.into_iter().enumerate() {
            if index == 0 {
                kept.push(outgoing);
            } else if index >= first_derived && !self.isolated {
                kept.push(self.marked(outgoing));
            }
        }
        kept
    }

    fn marked(&self, outgoing: Outgoing) -> Outgoing {
        let mut headers = HeadersBuilder::with_capacity(outgoing.headers.size() + 64);
        for (name, value) in outgoing.headers.iter().filter(|(name, _)| *name != hop::RUN.as_bytes()) {
            headers.push(name, value);
        }
        headers.push(hop::RUN.as_bytes(), Some(self.run.as_bytes()));
        Outgoing { headers: headers.build(), ..outgoing }
    }

    pub(in crate::app) fn committed(&self, output: &Output<Arc<Delivery>, Report>) {
        if output.disposition.resolves() {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}
