//! Transactions: what is staged, when it is committed, and what follows from how that ended (I1, I2).

use super::offset_map::OffsetMap;
use super::partition::Phase;
use super::tracker::State;
use super::transaction::Stage;
use super::{CommitResult, Effect, Engine, EventsLost, Output, PartitionCommit, PartitionId, Time, TransactionId};
use crate::event::{NextOffset, Offset};

impl<P: Clone, R> Engine<P, R> {
    /// Outputs that wait go into the transaction, if it takes any. Only when a step is settled: until then a partition may be
    /// lost with what it had decided (I4).
    pub(super) fn stage_pending(&mut self) {
        while self.accepts_outputs() {
            let Some(output) = self.transaction.pending.pop_front() else { return };
            self.stage(output);
        }
    }

    fn stage(&mut self, output: Output<P, R>) {
        let (id, transaction) = (output.ticket.partition, self.transaction.id);
        let Some(partition) = self.live(id, output.ticket.epoch) else { return };
        partition.pending -= 1;
        partition.tally.count(&output.disposition);
        partition.staged_to = partition.staged_to.max(output.ticket.offset.next());
        if let Some(entry) = partition.tracker.entry_mut(output.ticket.sequence) {
            entry.audited = entry.audited.max(output.attempt);
            entry.audited_done |= output.done;
            if output.disposition.resolves() {
                entry.state = State::Staged(transaction);
            }
        }
        self.transaction.staged += 1;
        self.note_change(id);
        self.effects.push_back(Effect::Stage(output));
    }

    /// Outputs are kept until the ledger takes them. What was aborted for it cannot end before that, so no other transaction
    /// can either: positions wait too.
    fn waits_for_the_ledger(&self) -> bool {
        !self.transaction.pending.is_empty() && self.ledger_down().is_some()
    }

    /// When the open transaction is to be committed, as far as only time decides it.
    pub(super) fn commit_due_at(&self) -> Option<Time> {
        if !matches!(self.transaction.stage, Stage::Open) || self.changed.is_empty() || self.waits_for_the_ledger() {
            return None;
        }
        let due = self.transaction.since.map(|since| since + self.settings.commit_interval)?;
        Some(due.max(self.transaction.not_before))
    }

    /// Commits if it is time: something waits for it, nothing runs, the interval is over, or enough is staged.
    pub(super) fn commit(&mut self) {
        let takes_a_commit = matches!(self.transaction.stage, Stage::Open | Stage::Sealed);
        if !takes_a_commit || self.changed.is_empty() || self.waits_for_the_ledger() {
            return;
        }
        let due_by_time = self.commit_due_at().is_some_and(|due| due <= self.now);
        let idle = self.in_flight == 0 && self.transaction.staged > 0;
        let full = self.transaction.staged >= self.settings.commit_max_records;
        let sealed = self.transaction.stage == Stage::Sealed;
        if self.now < self.transaction.not_before || !(sealed || self.transaction.urgent || idle || full || due_by_time)
        {
            return;
        }
        if !self.receipts_are_in() {
            self.transaction.stage = Stage::Sealed;
            return;
        }
        let transaction = self.transaction.committing();
        let mut offsets = Vec::new();
        let mut lost = Vec::new();
        let stands_still = self.stands_still();
        for id in std::mem::take(&mut self.changed) {
            if let Some(commit) = self.partition_commit(id, transaction, stands_still) {
                offsets.push(commit);
            }
            if let Some(partition) = self.partition(id) {
                let epoch = partition.epoch;
                lost.extend(partition.lost.iter().map(|range| EventsLost {
                    partition: id,
                    epoch,
                    from: Offset(range.start),
                    to: NextOffset(range.end),
                }));
            }
        }
        self.effects.push_back(Effect::Commit { transaction, offsets, lost });
    }

    /// I2: receipts of all records in the transaction are acknowledged.
    fn receipts_are_in(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        let all = changed.iter().all(|id| self.partition(*id).is_none_or(|p| p.receipts >= p.staged_to));
        self.changed = changed;
        all
    }

    fn partition_commit(
        &mut self,
        id: PartitionId,
        transaction: TransactionId,
        stands_still: bool,
    ) -> Option<PartitionCommit> {
        let max_bytes = self.settings.max_metadata_bytes;
        let partition = self.partition(id)?;
        partition.changed = false;
        let ready = partition.in_flight == 0 && partition.pending == 0;
        let clean = matches!(partition.phase, Phase::Draining { .. }) && ready;
        if clean || partition.phase == Phase::Marking || !partition.lost.is_empty() {
            partition.mark = Some(transaction);
        }
        partition.suspicion.included_in(transaction);
        let (position, resolved, mut attempts) = partition.tracker.map(transaction);
        let next = partition.tracker.next();
        attempts.extend(partition.attempted.iter().filter(|known| !next.covers(known.offset)));
        let mut map = OffsetMap {
            claim: partition.claim,
            transaction: transaction.0,
            resolved,
            attempts,
            ..OffsetMap::default()
        };
        partition.suspicion.write(&mut map, position, clean, stands_still);
        let metadata = map.encode(partition.identity, position, max_bytes);
        Some(PartitionCommit { partition: id, epoch: partition.epoch, position, metadata })
    }

    /// The open transaction holds outputs of a partition that is gone, or that the ledger does not take.
    pub(super) fn abort(&mut self) {
        if matches!(self.transaction.stage, Stage::Open | Stage::Sealed) && self.transaction.staged > 0 {
            self.transaction.stage = Stage::Aborting;
            self.effects.push_back(Effect::Abort { transaction: self.transaction.id });
        }
    }

    /// How the commit or abort that was asked for ended.
    pub fn transaction_ended(&mut self, now: Time, transaction: TransactionId, result: CommitResult<P, R>) {
        self.input(now);
        if transaction != self.transaction.id {
            return;
        }
        match result {
            CommitResult::Committed => self.transaction_committed(transaction),
            CommitResult::Aborted(outputs) => self.transaction_aborted(outputs),
        }
    }

    fn transaction_committed(&mut self, transaction: TransactionId) {
        self.transaction.committed();
        let ids: Vec<_> = self.partitions.iter().flatten().map(|partition| partition.id).collect();
        for id in ids {
            self.partition_committed(id, transaction);
        }
        self.release_drained();
    }

    fn partition_committed(&mut self, id: PartitionId, transaction: TransactionId) {
        let Some(partition) = self.partition(id) else { return };
        let tally = std::mem::take(&mut partition.tally);
        partition.staged_to = NextOffset(0);
        let was_at = partition.tracker.low();
        let (records, bytes) = partition.tracker.settle(transaction);
        let ended = partition.ends_are_committed(transaction);
        partition.buffered.remove(records, bytes);
        let moved = partition.tracker.low() > was_at;
        let marked = partition.mark == Some(transaction);
        if marked {
            partition.mark = None;
            partition.lost.clear();
        }
        let released = partition.suspicion.committed(transaction);
        let starts = marked && partition.phase == Phase::Marking;
        if starts {
            partition.phase = Phase::Running;
        }
        if marked && matches!(partition.phase, Phase::Draining { .. }) {
            partition.phase = Phase::Drained;
        }
        self.totals.end(&tally);
        self.buffered.remove(records, bytes);
        if starts {
            self.end_those_beyond(id);
            self.wake_all_lanes(id);
        } else if moved || released || ended {
            self.retry_held_lanes(id);
        }
        if moved {
            self.check_probation(id, false);
        }
    }

    fn transaction_aborted(&mut self, outputs: Vec<Output<P, R>>) {
        // An output that is not given back would be taken for committed: rather end the process, which loses nothing.
        assert_eq!(outputs.len(), self.transaction.staged, "an aborted transaction gives back what was staged in it");
        let on_purpose = self.transaction.stage == Stage::Aborting;
        let now = self.now;
        for partition in self.partitions.iter_mut().flatten() {
            partition.tally = super::census::Tally::default();
            partition.staged_to = NextOffset(0);
            partition.mark = None;
            partition.suspicion.aborted();
        }
        let rerouted = self.transaction.rerouted;
        let mut live = Vec::with_capacity(outputs.len());
        for mut output in outputs {
            let Some(partition) = self.live(output.ticket.partition, output.ticket.epoch) else { continue };
            partition.pending += 1;
            if rerouted && !output.disposition.resolves() {
                output.done = 0;
            }
            if output.disposition.resolves()
                && let Some(entry) = partition.tracker.entry_mut(output.ticket.sequence)
            {
                entry.state = State::Pending;
            }
            live.push(output);
        }
        self.transaction.aborted(now, live, on_purpose);
        let ids: Vec<_> = self.partitions.iter().flatten().map(|partition| (partition.id, partition.phase)).collect();
        for (id, phase) in ids {
            // Positions, marks and announcements that were in it are said again.
            self.note_change(id);
            if phase == Phase::Marking || self.partition(id).is_some_and(|p| p.suspicion.announced_offset().is_some()) {
                self.transaction.urgent = true;
            }
        }
    }

    /// Ends the probation of a partition whose earlier owners died, once it is past what they can have had in flight.
    pub(super) fn check_probation(&mut self, id: PartitionId, at_end: bool) {
        let Some(partition) = self.partition(id) else { return };
        let caught_up = at_end && partition.tracker.len() == 0;
        if partition.suspicion.progressed(partition.tracker.low(), caught_up) {
            self.note_change(id);
            self.retry_held_lanes(id);
        }
    }
}
