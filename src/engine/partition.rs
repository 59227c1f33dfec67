//! What the engine holds for one assigned partition.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::ops::Range;

use super::census::{Census, Tally};
use super::dedup::Window;
use super::lanes::{Lanes, Prehashed};
use super::machine::Budget;
use super::offset_map::Attempted;
use super::suspicion::Suspicion;
use super::tracker::{State, Tracker};
use super::{Dependency, Epoch, HandlerList, PartitionId, Time, TransactionId, Verdict};
use crate::event::{Identity, NextOffset, Offset};

/// Where an assignment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is dispatched until the dirty mark is committed.
    Marking,
    Running,
    /// Retention has passed the position and the route does not say go on (I10).
    Halted,
    /// Revoked: what runs may finish until `cancel_at`; what is not out by `give_up_at` is abandoned.
    Draining {
        cancel_at: Time,
        give_up_at: Time,
        cancelled: bool,
    },
    /// Everything is committed with a clean mark; waits for the others of its revocation.
    Drained,
}

/// A polled record whose identity waits for the deduplication window.
pub(super) struct Unsorted {
    pub(super) sequence: u64,
    pub(super) identity: Option<Identity>,
    pub(super) verdict: Verdict,
}

pub(super) struct Partition<P> {
    pub(super) id: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) identity: u64,
    pub(super) claim: i64,
    pub(super) phase: Phase,
    pub(super) tracker: Tracker<P>,
    pub(super) lanes: Lanes,
    /// Has a share of the deduplication windows' entries.
    pub(super) deduplicated: bool,
    pub(super) window: Window,
    /// `Some` while the deduplication window is being rebuilt: records wait here for it.
    pub(super) unsorted: Option<VecDeque<Unsorted>>,
    /// Attempts that earlier owners committed for records not polled yet, in offset order.
    pub(super) attempted: VecDeque<Attempted>,
    pub(super) suspicion: Suspicion,
    /// Receipts are acknowledged for everything polled below this.
    pub(super) receipts: NextOffset,
    /// Records with workers.
    pub(super) in_flight: usize,
    /// Of those, the ones that began under earlier routes, and the handlers that they began with.
    pub(super) outdated: BTreeMap<u64, HandlerList>,
    /// Records that wait alone for something that is down, or ask again for it.
    pub(super) awaiting: BTreeMap<u64, Dependency>,
    /// Records parked or suspected, and halted ones: those whose attempts the offset map has, or will have.
    pub(super) parked: usize,
    /// A lane was put aside because the offset map has no place for the attempts of its head.
    pub(super) wants_place: bool,
    /// Records that hold memory, and their bytes.
    pub(super) buffered: Budget,
    /// Those that have no outcome yet.
    pub(super) waiting: Budget,
    /// Outputs decided and not in a transaction yet.
    pub(super) pending: usize,
    /// Ends in the open transaction.
    pub(super) tally: Tally,
    /// Position after the highest record with an output in the open transaction.
    pub(super) staged_to: NextOffset,
    /// Lanes whose head has to wait for room in the offset map.
    pub(super) held_lanes: VecDeque<u32>,
    /// By their lanes' keys, the last records that an attempt has dead-lettered and whose end is not committed: what is decided
    /// anew after a loss may come out otherwise, and its effect would then come after those of the records behind it.
    pub(super) given_up: HashMap<u64, u64, BuildHasherDefault<Prehashed>>,
    /// Records that end without a handler, and for whose end the offset map has no room yet.
    pub(super) beyond: VecDeque<(u64, Offset, super::Disposition)>,
    pub(super) paused: bool,
    /// In the engine's list of partitions that the next commit has something to say about.
    pub(super) changed: bool,
    /// The transaction whose commit carries the mark that the phase waits for.
    pub(super) mark: Option<TransactionId>,
    /// Offsets that retention took, until their audit records are committed: ascending, none of them resolved before.
    pub(super) lost: Vec<Range<i64>>,
}

impl<P> Partition<P> {
    /// Adds this partition's records that have not ended.
    pub(super) fn count_into(&self, census: &mut Census) {
        for (_, entry) in self.tracker.iter() {
            match entry.state {
                State::Waiting => census.waiting += 1,
                State::InFlight => census.in_flight += 1,
                State::Parked | State::Suspected => census.parked += 1,
                State::Pending => census.staged += 1,
                State::Halted => census.halted += 1,
                State::Staged(_) | State::Resolved => {}
            }
        }
        census.staged += self.tally.total();
    }

    /// From the first to the last offset that is lost.
    pub(super) fn lost_span(&self) -> Option<(Offset, NextOffset)> {
        Some((Offset(self.lost.first()?.start), NextOffset(self.lost.last()?.end)))
    }

    /// Whether records may be handed to workers.
    pub(super) fn dispatches(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether the record's receipt is acknowledged.
    pub(super) fn is_receipted(&self, offset: Offset) -> bool {
        offset.next() <= self.receipts
    }

    /// Whether the group has taken it back.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Drained)
    }

    /// Whether the offset map has the record's attempts already, or fewer than `max` other ones.
    pub(super) fn has_place(&self, sequence: u64, max: usize) -> bool {
        self.tracker.entry(sequence).is_some_and(|entry| entry.counted) || self.parked + self.attempted.len() < max
    }

    /// Whether it is to halt and still has no place.
    pub(super) fn lacks_place(&self, sequence: u64, max: usize) -> bool {
        self.tracker.entry(sequence).is_some_and(|entry| entry.placeless) && !self.has_place(sequence, max)
    }

    /// The offset map will have the record's attempts.
    pub(super) fn give_place(&mut self, sequence: u64) {
        let Some(entry) = self.tracker.entry_mut(sequence) else { return };
        if !std::mem::replace(&mut entry.counted, true) {
            self.parked += 1;
        }
        entry.placeless = false;
    }

    /// Whether the lane's last record before its head was given up, and that is not committed.
    pub(super) fn waits_for_an_end(&self, lane: u32) -> bool {
        self.given_up.contains_key(&self.lanes.lane(lane).key())
    }

    /// Everything up to `transaction` is committed. True if a lane need not wait any more.
    pub(super) fn ends_are_committed(&mut self, transaction: TransactionId) -> bool {
        let before = self.given_up.len();
        let tracker = &self.tracker;
        let is_open = |sequence| tracker.entry(sequence).is_some_and(|entry| !entry.is_resolved_by(transaction));
        self.given_up.retain(|_, sequence| is_open(*sequence));
        self.given_up.len() < before
    }

    /// Attempts that an earlier owner committed for this record.
    pub(super) fn take_attempted(&mut self, offset: Offset) -> Option<Attempted> {
        while self.attempted.front().is_some_and(|known| known.offset < offset) {
            self.attempted.pop_front();
        }
        self.attempted.pop_front_if(|known| known.offset == offset)
    }
}
