//! One partition's polled records above the committed position, in offset order.
//!
//! A record's *sequence* counts polled records of the epoch, so it finds its entry by subtraction; offsets have gaps
//! (transaction markers, compaction) and do not. Entries leave at the front once their resolution is committed.

use std::collections::VecDeque;
use std::ops::Range;

use super::offset_map::Attempted;
use super::{HandlerList, RouteId, TransactionId, offset_map};
use crate::event::{NextOffset, Offset};

/// Where a record stands (I5). Ended records are `Resolved` until they leave the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    InFlight,
    /// Waits for a time, at the head of its lane.
    Parked,
    /// Its attempt failed like those of other lanes just now: held back until it is decided whether a dependency is down.
    Suspected,
    /// Its end is decided and waits for a place in a transaction.
    Pending,
    /// Its end is in this transaction.
    Staged(TransactionId),
    Resolved,
    Halted,
}

#[derive(Debug)]
pub(super) struct Entry<P> {
    pub(super) offset: Offset,
    pub(super) state: State,
    pub(super) bytes: u32,
    pub(super) route: RouteId,
    pub(super) lane: u32,
    pub(super) tenant: u64,
    /// Attempts used.
    pub(super) attempts: u32,
    /// Attempts whose outcome record is committed or staged: what the offset map may say.
    pub(super) audited: u32,
    /// Attempts that the record came with.
    pub(super) inherited: u32,
    /// Handlers of its route.
    pub(super) handlers: HandlerList,
    /// Those of them that are done.
    pub(super) done: u16,
    /// Of those, the ones that an outcome record says: what the offset map may say.
    pub(super) audited_done: u16,
    /// Counts among the partition's parked records: the offset map has, or will have, its attempts.
    pub(super) counted: bool,
    /// It is to halt, and found no place in the offset map for its attempts: it starts again when there is one.
    pub(super) placeless: bool,
    /// `None` once it has ended.
    pub(super) payload: Option<P>,
}

#[derive(Debug)]
pub(super) struct Tracker<P> {
    entries: VecDeque<Entry<P>>,
    /// Sequence of the first entry.
    first: u64,
    /// Sequence after the last entry that has left `Waiting` once: only those can be resolved.
    started: u64,
    /// Position after the last record polled, or the end that was read.
    next: NextOffset,
    /// Resolved by an earlier owner and not polled yet.
    inherited: VecDeque<Range<i64>>,
}

impl<P> Tracker<P> {
    pub(super) fn new(position: NextOffset, resolved: Vec<Range<i64>>) -> Self {
        Self { entries: VecDeque::new(), first: 0, started: 0, next: position, inherited: resolved.into() }
    }

    /// Position after the last record polled.
    pub(super) fn next(&self) -> NextOffset {
        self.next
    }

    /// Moves over offsets that hold no record for us.
    pub(super) fn advance(&mut self, next: NextOffset) {
        self.next = self.next.max(next);
        while self.inherited.front().is_some_and(|range| range.end <= self.next.0) {
            self.inherited.pop_front();
        }
    }

    /// Whether an earlier owner has resolved it.
    pub(super) fn is_inherited(&self, offset: Offset) -> bool {
        self.inherited.iter().take_while(|range| range.start <= offset.0).any(|range| range.contains(&offset.0))
    }

    /// Adds a polled record and gives its sequence.
    pub(super) fn push(&mut self, entry: Entry<P>) -> u64 {
        self.advance(entry.offset.next());
        self.entries.push_back(entry);
        self.first + self.entries.len() as u64 - 1
    }

    pub(super) fn entry(&self, sequence: u64) -> Option<&Entry<P>> {
        self.entries.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry<P>> {
        self.entries.get_mut(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// Notes that this record may be resolved from now on.
    pub(super) fn start(&mut self, sequence: u64) {
        self.started = self.started.max(sequence + 1);
    }

    /// The lowest unresolved record.
    pub(super) fn head(&self) -> Option<(u64, &Entry<P>)> {
        self.entries.front().map(|entry| (self.first, entry))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Entry<P>)> {
        self.entries.iter().enumerate().map(|(index, entry)| (self.first + index as u64, entry))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Entry<P>)> {
        let first = self.first;
        self.entries.iter_mut().enumerate().map(move |(index, entry)| (first + index as u64, entry))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Committed position: everything below is resolved and committed.
    pub(super) fn low(&self) -> NextOffset {
        self.entries.front().map_or(self.next, |entry| NextOffset(entry.offset.0))
    }

    /// The position once `transaction` is committed.
    pub(super) fn position(&self, transaction: TransactionId) -> NextOffset {
        let unresolved = self.entries.iter().find(|entry| !entry.is_resolved_by(transaction));
        unresolved.map_or(self.next, |entry| NextOffset(entry.offset.0))
    }

    /// Whether the offset map can hold whatever becomes of this record and those below it, in `room` bytes. The lowest
    /// record always has room: its end moves the position, and makes the map smaller.
    pub(super) fn has_room_for(&self, sequence: u64, room: usize) -> bool {
        let Some(entry) = self.entry(sequence) else { return false };
        let (span, records) = self.window_to(sequence, entry.offset);
        sequence == self.first || offset_map::fits(span, records, room)
    }

    /// Offsets and records between the committed position and this record: what the offset map must be able to hold.
    fn window_to(&self, sequence: u64, offset: Offset) -> (u64, usize) {
        let span =
            (offset.next().0 - self.low().0).max(self.inherited.back().map_or(0, |range| range.end - self.low().0));
        let records = usize::try_from(sequence + 1 - self.first).unwrap_or(usize::MAX);
        (span.cast_unsigned(), records.saturating_add(self.inherited.len()))
    }

    /// What the offset map says once `transaction` is committed, and its position.
    pub(super) fn map(&self, transaction: TransactionId) -> (NextOffset, Vec<Range<i64>>, Vec<Attempted>) {
        let position = self.position(transaction);
        let mut resolved: Vec<Range<i64>> = Vec::new();
        let mut attempts = Vec::new();
        let mut at = position.0;
        let started = usize::try_from(self.started.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut last_resolved = None;
        for entry in self.entries.iter().take(started).skip_while(|entry| entry.offset.0 < position.0) {
            if entry.is_resolved_by(transaction) {
                last_resolved = Some(entry.offset.next().0);
                continue;
            }
            close_run(&mut resolved, at, last_resolved.take());
            at = entry.offset.next().0;
            if entry.audited > entry.inherited {
                attempts.push(Attempted::new(entry.offset, entry.audited, entry.audited_done, entry.handlers));
            }
        }
        close_run(&mut resolved, at, last_resolved);
        for range in self.inherited.iter().filter(|range| range.end > self.next.0.max(position.0)) {
            let start = range.start.max(self.next.0).max(position.0);
            match resolved.last_mut() {
                Some(last) if last.end >= start => last.end = range.end,
                _ => resolved.push(start..range.end),
            }
        }
        (position, resolved, attempts)
    }

    /// `transaction` is committed: drops what the position has passed, and gives the number of records and bytes.
    pub(super) fn settle(&mut self, transaction: TransactionId) -> (usize, usize) {
        let (mut records, mut bytes) = (0, 0);
        while self.entries.front().is_some_and(|entry| entry.is_resolved_by(transaction)) {
            let entry = self.entries.pop_front().expect("looked at it just now");
            self.first += 1;
            records += 1;
            bytes += entry.bytes as usize;
        }
        self.started = self.started.max(self.first);
        (records, bytes)
    }
}

/// A run of resolved records from `at` (gaps before its first record count as resolved) to the last one.
fn close_run(resolved: &mut Vec<Range<i64>>, at: i64, end: Option<i64>) {
    if let Some(end) = end.filter(|end| *end > at) {
        resolved.push(at..end);
    }
}

impl<P> Entry<P> {
    /// From now on these are its handlers. What others have done is done by none of them.
    pub(super) fn has_handlers(&mut self, handlers: HandlerList) {
        if self.handlers != handlers {
            (self.done, self.audited_done) = (0, 0);
        }
        self.handlers = handlers;
    }

    pub(super) fn is_resolved_by(&self, transaction: TransactionId) -> bool {
        match self.state {
            State::Resolved => true,
            State::Staged(staged) => staged <= transaction,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
