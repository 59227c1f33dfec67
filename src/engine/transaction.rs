//! The one transaction that is open, being committed or being aborted, and the outputs that wait for the next.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Output, Time, TransactionId};

/// First and longest delay before a commit is tried again after an abort.
const ABORT_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Outputs go in.
    Open,
    /// To be committed as soon as its receipts are acknowledged; outputs wait for the next one.
    Sealed,
    Committing,
    Aborting,
}

#[derive(Debug)]
pub(super) struct Transaction<P, R> {
    pub(super) id: TransactionId,
    pub(super) stage: Stage,
    /// Outputs in it.
    pub(super) staged: usize,
    /// When there was first something to commit.
    pub(super) since: Option<Time>,
    /// Something waits for this commit: it does not wait for the interval.
    pub(super) urgent: bool,
    /// Outputs that were decided while it took none.
    pub(super) pending: VecDeque<Output<P, R>>,
    /// The routes have changed while it was the current one: see [`super::Engine::reroute`].
    pub(super) rerouted: bool,
    aborts: u32,
    pub(super) not_before: Time,
}

impl<P, R> Transaction<P, R> {
    pub(super) fn new() -> Self {
        Self {
            id: TransactionId(1),
            stage: Stage::Open,
            staged: 0,
            since: None,
            urgent: false,
            pending: VecDeque::new(),
            rerouted: false,
            aborts: 0,
            not_before: Time(0),
        }
    }

    /// Its commit begins: what changes from now on is for the next one, and wakes for it.
    pub(super) fn committing(&mut self) -> TransactionId {
        self.stage = Stage::Committing;
        self.since = None;
        self.urgent = false;
        self.id
    }

    /// The next transaction, after this one was committed.
    pub(super) fn committed(&mut self) {
        self.aborts = 0;
        self.next();
    }

    /// The next transaction, after this one was aborted; its outputs come again before those that wait.
    pub(super) fn aborted(&mut self, now: Time, given_back: Vec<Output<P, R>>, on_purpose: bool) {
        if !on_purpose {
            let (first, cap) = ABORT_BACKOFF;
            self.not_before = now + first.saturating_mul(1 << self.aborts.min(10)).min(cap);
            self.aborts = self.aborts.saturating_add(1);
        }
        for output in given_back.into_iter().rev() {
            self.pending.push_front(output);
        }
        self.next();
    }

    fn next(&mut self) {
        self.id = TransactionId(self.id.0 + 1);
        self.stage = Stage::Open;
        self.staged = 0;
        self.rerouted = false;
    }
}
