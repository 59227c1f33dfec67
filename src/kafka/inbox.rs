//! The one ordered channel into the poll thread. Everything that the engine is to learn arrives through it, except polled
//! records; whoever sends wakes the thread.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::DriverError;
use super::lookup::Found;
use crate::engine::{CommitResult, Dependency, Epoch, Finished, PartitionId, TransactionId};
use crate::event::{Identity, NextOffset, Offset};

/// What the poll thread is told.
pub(super) enum Input<P, R> {
    /// The consumer's queue is no longer empty.
    Wake,
    Finished(Vec<Finished<R>>),
    Ended {
        transaction: TransactionId,
        result: CommitResult<P, R>,
    },
    ReceiptsAcknowledged {
        partition: PartitionId,
        epoch: Epoch,
        up_to: NextOffset,
    },
    /// Whether receipts are acknowledged in time.
    LedgerAnswers {
        answers: bool,
        error: Option<String>,
    },
    /// The outcome producer is a new one; nothing of the old one's open transaction is committed.
    ProducerReplaced,
    /// `seat`: of which consumer, see [`super::seat`].
    Rebalance {
        seat: u64,
        rebalance: Rebalance,
    },
    Found(Found),
    DedupRebuilt {
        partition: PartitionId,
        epoch: Epoch,
        seen: Vec<(Identity, Offset)>,
    },
    Probed {
        dependency: Dependency,
        up: bool,
    },
    /// There are [`super::rerouting::NextRoutes`].
    Reroute,
    /// Partitions have no owner, and the group does not see it.
    JoinAnew,
    Shutdown,
    /// One of the threads cannot go on.
    Failed(DriverError),
}

/// What the group decided; recorded by the rebalance callback.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke(Vec<(String, i32)>),
    /// The group has given the partitions to others already.
    Lost(Vec<(String, i32)>),
}

/// Both ends of the channel. Made before the application, which needs [`Inbox::results`] for its workers; the bound on what
/// is in it is the engine's bound on what is in flight.
pub struct Inbox<P, R> {
    pub(super) sender: Sender<Input<P, R>>,
    pub(super) receiver: Receiver<Input<P, R>>,
}

impl<P, R> Inbox<P, R> {
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }

    /// Where workers report.
    #[must_use]
    pub fn results(&self) -> Results<P, R> {
        Results(self.sender.clone())
    }
}

impl<P, R> Default for Inbox<P, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, R> std::fmt::Debug for Inbox<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

/// The workers' end.
pub struct Results<P, R>(Sender<Input<P, R>>);

impl<P, R> Results<P, R> {
    /// Reports attempts, in the order in which they ended. False if the replica has ended, and nobody is interested.
    pub fn finished(&self, finished: Vec<Finished<R>>) -> bool {
        self.0.send(Input::Finished(finished)).is_ok()
    }
}

impl<P, R> Clone for Results<P, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P, R> std::fmt::Debug for Results<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Results")
    }
}
