//! The ledger's topic takes no records for a while. Receipts wait for it, and so does the end of every transaction that has
//! outcomes: its marker needs that topic too. The driver tells the engine when that is so for long, and when it is over.

use std::collections::VecDeque;
use std::time::Duration;

use coafi_core::engine::{Epoch, PartitionId, Time, TransactionId};
use coafi_core::event::NextOffset;

use crate::checks::Checked;
use crate::profile::Mode;
use crate::replica::{Input, Process};
use crate::world::World;

/// The driver takes the ledger to be down when a receipt, or a commit, has waited for this long.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How often it looks whether it is back.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A transaction that cannot be committed is aborted after this time, or after [`AT_LEAST`] where that is later. The broker's
/// time-out is one and a half times as long.
const GIVE_UP_AFTER: Duration = Duration::from_millis(3_300);
const AT_LEAST: Duration = Duration::from_millis(1_600);
/// An abort is waited for in vain for this long; then the next producer does it.
const ABORT_FOR: Duration = Duration::from_secs(1);

/// The receipts of one polled batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipt {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: Epoch,
    pub(crate) from: NextOffset,
    pub(crate) to: NextOffset,
}

/// How a process sees the ledger.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// It looks, at the latest after [`SLOW_AFTER`].
    looks: bool,
    /// The engine takes it to be down.
    down: bool,
    /// Receipts that wait for it, in their order.
    waiting: VecDeque<Receipt>,
}

impl World {
    /// When the ledger takes records again, if it does not now.
    pub(crate) fn ledger_back_at(&self) -> Option<Time> {
        self.ledger_back_at.filter(|at| *at > self.now)
    }
}

impl Process {
    /// What the ledger has acknowledged is known as soon as all before it is.
    pub(crate) fn receipt(&mut self, world: &mut World, receipt: Receipt) {
        let Some(back_at) = world.ledger_back_at() else {
            if self.ledger.waiting.is_empty() {
                self.acknowledge(world, receipt)
            } else {
                self.ledger.waiting.push_back(receipt)
            }
            return;
        };
        if self.ledger.waiting.is_empty() {
            self.later(world, back_at - world.now, Input::LedgerIsBack);
        }
        self.ledger.waiting.push_back(receipt);
        self.begin_to_look(world);
    }

    /// Unless it has gone again.
    pub(crate) fn ledger_is_back(&mut self, world: &mut World) {
        if let Some(back_at) = world.ledger_back_at() {
            self.later(world, back_at - world.now, Input::LedgerIsBack);
            return;
        }
        for receipt in std::mem::take(&mut self.ledger.waiting) {
            self.acknowledge(world, receipt);
        }
    }

    fn acknowledge(&mut self, world: &mut World, Receipt { partition, epoch, from, to }: Receipt) {
        world.truth.receipted(partition, from, to);
        self.engine.receipts_acknowledged(self.clock.engine(world.now), partition, epoch, to);
    }

    fn begin_to_look(&mut self, world: &mut World) {
        if !std::mem::replace(&mut self.ledger.looks, true) {
            self.later(world, SLOW_AFTER, Input::LookAtTheLedger);
        }
    }

    pub(crate) fn look_at_the_ledger(&mut self, world: &mut World) {
        let now = self.clock.engine(world.now);
        let down = world.ledger_back_at().is_some();
        self.ledger.looks = down;
        if down {
            self.later(world, LOOK_EVERY, Input::LookAtTheLedger);
        }
        if std::mem::replace(&mut self.ledger.down, down) != down {
            world.sighted(if down { "the ledger was down" } else { "the ledger was back" });
            self.engine.ledger_answers(now, !down);
        }
    }

    /// Whether the transaction can be ended now. If not it is tried again, or given up.
    pub(crate) fn ledger_takes(&mut self, world: &mut World, transaction: TransactionId, again: Input) -> bool {
        let begun = match world.profile.mode {
            Mode::Transactional => world.broker.begun_with_outcomes(self.slot, self.producer_epoch),
            Mode::AtLeastOnce => self.commit_asked_at().filter(|_| !self.staged.is_empty()),
        };
        let (Some(back_at), Some(begun)) = (world.ledger_back_at(), begun) else { return true };
        self.begin_to_look(world);
        let give_up_at = (begun + GIVE_UP_AFTER).max(world.now + AT_LEAST);
        if back_at < give_up_at {
            self.later(world, back_at - world.now, again);
        } else {
            self.later(world, give_up_at - world.now, Input::GiveUp(transaction));
        }
        false
    }

    /// What could not be committed in time is aborted by the next producer, under the same id and with the same partitions.
    pub(crate) fn give_up(&mut self, world: &mut World, transaction: TransactionId) -> Checked {
        if !self.is_ending(transaction) {
            return Ok(());
        }
        world.sighted("a transaction was given up while the ledger was down");
        if world.profile.mode == Mode::Transactional {
            if world.broker.abort_open(self.slot, self.producer_epoch).is_err() {
                self.later(world, Duration::ZERO, Input::Fenced);
                return Ok(());
            }
            self.producer_epoch = world.broker.init_producer(self.slot);
        }
        self.transaction_ended(world, transaction, false);
        Ok(())
    }

    /// True if the abort takes its time: the marker of the transaction before may not be written yet.
    pub(crate) fn aborts_in_vain(&self, world: &mut World, transaction: TransactionId) -> bool {
        if world.ledger_back_at().is_none() || world.random.chance(50) {
            return false;
        }
        let delay = world.random.millis(0, ABORT_FOR.as_millis() as u64);
        self.later(world, delay, Input::GiveUp(transaction));
        true
    }
}
