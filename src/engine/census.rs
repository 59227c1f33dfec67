//! Where every polled record is, in numbers (I5).

use std::ops::AddAssign;

use super::Disposition;

/// Records by where they are now or how they ended. `polled` is the sum of all the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub polled: u64,
    pub waiting: u64,
    pub in_flight: u64,
    /// Waiting for the next attempt in place, or for the due time of a retry topic's record.
    pub parked: u64,
    /// Ended by decision, not yet by a committed transaction.
    pub staged: u64,
    pub halted: u64,
    /// Given up unresolved because their partition was revoked or lost.
    pub released: u64,
    pub processed: u64,
    pub duplicate: u64,
    pub filtered: u64,
    /// Moved to a retry topic.
    pub moved: u64,
    pub dead_lettered: u64,
    pub unprocessed: u64,
    /// Of an earlier owner's offset map: resolved before, skipped.
    pub already_resolved: u64,
}

impl Census {
    /// Whether the counts add up (I5).
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let now = self.waiting + self.in_flight + self.parked + self.staged + self.halted + self.released;
        let ended =
            self.processed + self.duplicate + self.filtered + self.moved + self.dead_lettered + self.unprocessed;
        self.polled == now + ended + self.already_resolved
    }

    pub(super) fn end(&mut self, tally: &Tally) {
        self.processed += tally.processed;
        self.duplicate += tally.duplicate;
        self.filtered += tally.filtered;
        self.moved += tally.moved;
        self.dead_lettered += tally.dead_lettered;
        self.unprocessed += tally.unprocessed;
    }
}

/// Ends of one partition's records in one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    processed: u64,
    duplicate: u64,
    filtered: u64,
    moved: u64,
    dead_lettered: u64,
    unprocessed: u64,
}

impl Tally {
    pub(super) fn count(&mut self, disposition: &Disposition) {
        match disposition {
            Disposition::Processed => self.processed += 1,
            Disposition::Duplicate { .. } => self.duplicate += 1,
            Disposition::Filtered => self.filtered += 1,
            Disposition::RetryTopic { .. } => self.moved += 1,
            Disposition::DeadLetter { .. } => self.dead_lettered += 1,
            Disposition::Unprocessed => self.unprocessed += 1,
            Disposition::RetryInPlace { .. } | Disposition::Halted { .. } => {}
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.processed + self.duplicate + self.filtered + self.moved + self.dead_lettered + self.unprocessed
    }
}

impl AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        self.polled += other.polled;
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
        self.parked += other.parked;
        self.staged += other.staged;
        self.halted += other.halted;
        self.released += other.released;
        self.processed += other.processed;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.moved += other.moved;
        self.dead_lettered += other.dead_lettered;
        self.unprocessed += other.unprocessed;
        self.already_resolved += other.already_resolved;
    }
}
