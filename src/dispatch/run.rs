//! A run: records of one lane, one after another, until one does not succeed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::IntoIter;

use super::attempt::End;
use super::delivery::Delivery;
use super::ending::Admission;
use super::report::Report;
use crate::engine::{Attempt, Epoch, Finished, Job, PartitionId, Ticket};
use crate::store::Fence;

pub(super) type Results = Vec<Finished<Report>>;

/// `F` is the future of one attempt; its box is used again for the next record, and by the next run.
pub(super) struct Run<F> {
    jobs: IntoIter<Job<Arc<Delivery>>>,
    fence: Arc<Fence>,
    /// The record that is with its handlers, and its `done` bits from before.
    current: Option<(Ticket, u16)>,
    slot: Option<Pin<Box<F>>>,
    admission: Arc<Admission>,
}

impl<F: Future<Output = End>> Run<F> {
    pub(super) fn new(jobs: Vec<Job<Arc<Delivery>>>, fence: Arc<Fence>, slot: Option<Pin<Box<F>>>) -> Self {
        Self { jobs: jobs.into_iter(), fence, current: None, slot, admission: Arc::default() }
    }

    /// The epoch that the run belongs to; `None` when it is through.
    pub(super) fn epoch(&self) -> Option<(PartitionId, Epoch)> {
        let ticket = self.current.map(|(ticket, _)| ticket).or_else(|| self.jobs.as_slice().first().map(|j| j.ticket));
        ticket.map(|ticket| (ticket.partition, ticket.epoch))
    }

    /// The next record was handed out under earlier routes.
    pub(super) fn is_outdated(&self) -> bool {
        let next = self.jobs.as_slice().first().and_then(|job| job.payload.route.as_ref());
        next.is_some_and(super::Routed::is_retired)
    }

    /// Starts the next record, without polling it; `false` if there is none.
    pub(super) fn start_next(&mut self, make: &impl Fn(Job<Arc<Delivery>>, Arc<Fence>, Arc<Admission>) -> F) -> bool {
        let Some(job) = self.jobs.next() else { return false };
        self.current = Some((job.ticket, job.done));
        let future = make(job, Arc::clone(&self.fence), Arc::clone(&self.admission));
        match &mut self.slot {
            Some(slot) => slot.set(future),
            empty => *empty = Some(Box::pin(future)),
        }
        true
    }

    /// Polls the record that was started. When it has ended, its result is in `results`, and so are those of the records
    /// after it if it did not succeed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, results: &mut Results) -> Poll<()> {
        let (Some((ticket, _)), Some(slot)) = (self.current, &mut self.slot) else { return Poll::Ready(()) };
        let Poll::Ready(End { verdict, done, took, wait, report }) = slot.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.current = None;
        let goes_on = matches!(verdict, Attempt::Succeeded | Attempt::Filtered);
        results.push(Finished { ticket, verdict, done, took, wait, report: Some(report) });
        if !goes_on {
            self.drop_rest(results);
        }
        Poll::Ready(())
    }

    /// Stops it: what is with its handlers is cancelled, the rest was not started. Gives the box back.
    pub(super) fn cancel(mut self, results: &mut Results) {
        self.slot = None;
        if let Some((ticket, done)) = self.current.take() {
            results.push(without_report(ticket, Attempt::Cancelled, done));
        }
        self.drop_rest(results);
    }

    /// Gives back what no handler has begun with; false if that was all of it.
    pub(super) fn recall(&mut self, results: &mut Results) -> bool {
        if self.admission.is_awaited()
            && let Some((ticket, done)) = self.current.take()
        {
            self.slot = None;
            results.push(without_report(ticket, Attempt::NotStarted, done));
        }
        self.drop_rest(results);
        self.current.is_some()
    }

    fn drop_rest(&mut self, results: &mut Results) {
        results.extend(self.jobs.by_ref().map(|job| without_report(job.ticket, Attempt::NotStarted, job.done)));
    }

    /// The box, for the next run.
    pub(super) fn into_slot(self) -> Option<Pin<Box<F>>> {
        self.slot
    }
}

fn without_report(ticket: Ticket, verdict: Attempt, done: u16) -> Finished<Report> {
    Finished { ticket, verdict, done, took: Duration::ZERO, wait: Duration::ZERO, report: None }
}
