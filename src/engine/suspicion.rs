//! Finding a record that kills its process.
//!
//! Each owner commits a *dirty mark* before its first dispatch and clears it when it gives the partition up in good order,
//! so the number of owners in a row that died is known. After several the partition is *suspect*: its records run one at
//! a time, alone in the whole process, each named in committed metadata before it starts. A record that was named by enough
//! deaths is dead-lettered as a crash, and with it the deaths are explained: whatever else the process has may run as before.
//! While a circuit is open the mark says clean: a deploy loop during an outage condemns no record.

use super::offset_map::{MAX_SUSPECTS, OffsetMap, Suspect};
use super::{Settings, TransactionId};
use crate::event::{NextOffset, Offset};

/// Offsets past the position within which a dead owner may have had records in flight: the offset map's window, and what
/// it had not committed yet. Only when the position has passed them all is the partition taken to be healthy.
const PROBATION_OFFSETS: i64 = 50_000;

#[derive(Debug)]
pub(super) struct Suspicion {
    /// Owners in a row that died, this one included until it ends cleanly.
    pub(super) dirty: u32,
    suspects: Vec<Suspect>,
    probation_until: NextOffset,
    one_at_a_time: bool,
    announced: Option<Announced>,
    /// The deaths are explained. Records run beside each other again once that is committed, since until then whoever finds
    /// a dead process takes the record that was announced last for the one that ran.
    release: Option<Release>,
}

/// What ends the probation, once it is committed.
#[derive(Clone, Copy, Debug)]
struct Release {
    /// The transaction that says so, once one does.
    transaction: Option<TransactionId>,
}

/// The record that may run next in a suspect partition.
#[derive(Clone, Copy, Debug)]
struct Announced {
    offset: Offset,
    /// The transaction that says so, once one does.
    transaction: Option<TransactionId>,
    committed: bool,
}

/// What a suspect partition says to a record that wants to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Granted,
    /// Commit the announcement first.
    Announce,
    Wait,
}

impl Suspicion {
    pub(super) fn new(map: Option<&OffsetMap>, position: NextOffset, settings: &Settings) -> Self {
        let deaths = map.map_or(0, |map| map.dirty);
        let mut suspects = map.map_or_else(Vec::new, |map| map.suspects.clone());
        if let Some(offset) = map.and_then(|map| map.running).filter(|_| deaths > 0) {
            match suspects.iter_mut().find(|suspect| suspect.offset == offset) {
                Some(suspect) => suspect.deaths += 1,
                None => suspects.push(Suspect { offset, deaths: 1 }),
            }
        }
        if suspects.len() > MAX_SUSPECTS {
            suspects.sort_by_key(|suspect| std::cmp::Reverse(suspect.deaths));
            suspects.truncate(MAX_SUSPECTS);
        }
        Self {
            dirty: deaths.saturating_add(1),
            suspects,
            probation_until: NextOffset(position.0.saturating_add(PROBATION_OFFSETS)),
            one_at_a_time: deaths >= settings.suspect_after,
            announced: None,
            release: None,
        }
    }

    /// Whether this record was named by enough deaths to be dead-lettered.
    pub(super) fn condemns(&self, offset: Offset, crash_deaths: u32) -> bool {
        self.suspects.iter().any(|suspect| suspect.offset == offset && suspect.deaths >= crash_deaths)
    }

    pub(super) fn one_at_a_time(&self) -> bool {
        self.one_at_a_time
    }

    /// Whether the record at `offset` may run now, nothing else being with a worker.
    pub(super) fn permission(&mut self, offset: Offset) -> Permission {
        match self.announced {
            _ if self.release.is_some() => Permission::Wait,
            Some(announced) if announced.offset == offset => {
                if announced.committed {
                    Permission::Granted
                } else {
                    Permission::Wait
                }
            }
            _ => {
                self.announced = Some(Announced { offset, transaction: None, committed: false });
                Permission::Announce
            }
        }
    }

    /// `transaction` says in its metadata what is announced.
    pub(super) fn included_in(&mut self, transaction: TransactionId) {
        if let Some(announced) = &mut self.announced {
            announced.transaction.get_or_insert(transaction);
        }
        if let Some(release) = &mut self.release {
            release.transaction.get_or_insert(transaction);
        }
    }

    /// `transaction` is committed, and with it what it announced. True if records may run beside each other from now on.
    pub(super) fn committed(&mut self, transaction: TransactionId) -> bool {
        if let Some(announced) = self.announced.as_mut().filter(|a| a.transaction == Some(transaction)) {
            announced.committed = true;
        }
        let released = self.release.take_if(|release| release.transaction == Some(transaction)).is_some();
        self.one_at_a_time &= !released;
        released
    }

    /// A transaction was aborted: what only it announced is not known to anybody.
    pub(super) fn aborted(&mut self) {
        if let Some(announced) = self.announced.as_mut().filter(|announced| !announced.committed) {
            announced.transaction = None;
        }
        if let Some(release) = &mut self.release {
            release.transaction = None;
        }
    }

    /// The record is not going to run now after all. True if somebody may have been told that it does.
    pub(super) fn withdraw(&mut self) -> bool {
        self.announced.take().is_some()
    }

    pub(super) fn announced_offset(&self) -> Option<Offset> {
        self.announced.map(|announced| announced.offset)
    }

    /// The record that ran has come back.
    pub(super) fn came_back(&mut self, offset: Offset) {
        self.announced = None;
        self.suspects.retain(|suspect| suspect.offset != offset);
    }

    /// The position is now `low`, at the partition's end with nothing unresolved if `at_end`. True if that ends the
    /// probation.
    pub(super) fn progressed(&mut self, low: NextOffset, at_end: bool) -> bool {
        let was_suspect = self.one_at_a_time || self.dirty > 1;
        if !was_suspect || !(at_end || low >= self.probation_until) {
            return false;
        }
        self.dirty = 1;
        self.one_at_a_time = false;
        self.suspects.clear();
        self.announced = None;
        true
    }

    /// The record that the deaths came from has been found, here or in another partition of the process. True if that has to
    /// be committed, which ends the probation. Suspects are kept: until its end is committed, the next owner has to know it
    /// too.
    pub(super) fn explained(&mut self) -> bool {
        let was_suspect = self.one_at_a_time || self.dirty > 1;
        if was_suspect {
            self.dirty = 1;
            self.announced = None;
            self.release = Some(Release { transaction: None });
        }
        was_suspect
    }

    /// What the metadata says: of a clean end nothing, while a circuit is open nothing either.
    pub(super) fn write(&self, map: &mut OffsetMap, position: NextOffset, clean: bool, circuit_open: bool) {
        if clean {
            return;
        }
        map.suspects = self.suspects.iter().copied().filter(|suspect| !position.covers(suspect.offset)).collect();
        if !circuit_open {
            map.dirty = self.dirty;
            map.running = self.announced_offset().filter(|offset| !position.covers(*offset));
        }
    }
}
