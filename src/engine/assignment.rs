//! Partitions come and go: assigned, revoked and drained, lost.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::census::Tally;
use super::dedup::Window;
use super::lanes::Lanes;
use super::machine::{Budget, Timer};
use super::offset_map::OffsetMap;
use super::partition::{Partition, Phase};
use super::suspicion::Suspicion;
use super::tracker::{State, Tracker};
use super::{Effect, Engine, Epoch, Incident, PartitionId, Time};
use crate::event::NextOffset;

/// Handlers may run for this part of the drain timeout. The rest of it is for the last commit: a partition whose handlers
/// cannot be stopped, or whose commit does not succeed, is given up as it is when the timeout is over. Nothing is lost, its
/// uncommitted records run again elsewhere.
const HANDLERS_MAY_RUN: (u32, u32) = (3, 4);

/// A partition that was given to this process, with what its committed offset says.
#[derive(Clone, Debug)]
pub struct Assignment<'a> {
    pub partition: PartitionId,
    /// The committed offset, or the explicit start where there is none.
    pub position: NextOffset,
    /// The committed metadata, ours or foreign.
    pub metadata: &'a str,
    /// Hash of cluster id, topic id and partition: an offset map of another one is ignored.
    pub identity: u64,
    /// The database's claim, if the replica has a database: an epoch above every earlier one (see `store::Fence`).
    pub claim: Option<i64>,
    /// Oldest offset that still exists; a higher one than `position` means that retention has passed it (I10).
    pub log_start: NextOffset,
    /// Go on after such a loss, instead of standing still.
    pub continue_after_loss: bool,
    /// Whether its records are deduplicated: not those of a retry topic, which all come a second time.
    pub deduplicated: bool,
}

/// What retention took between the position and the oldest offset there is, without what was resolved before.
fn unresolved(resolved: &[Range<i64>], position: NextOffset, log_start: NextOffset) -> Vec<Range<i64>> {
    let mut lost = Vec::new();
    let mut at = position.0;
    for range in resolved.iter().take_while(|range| range.start < log_start.0) {
        lost.push(at..range.start);
        at = range.end;
    }
    lost.push(at..log_start.0);
    lost.retain(|range| !range.is_empty());
    lost
}

impl<P: Clone, R> Engine<P, R> {
    pub fn assigned(&mut self, now: Time, assignment: &Assignment<'_>) -> Epoch {
        self.input(now);
        self.forget(assignment.partition);
        self.epochs += 1;
        let epoch = Epoch(self.epochs);
        let index = assignment.partition.0 as usize;
        if self.partitions.len() <= index {
            self.partitions.resize_with(index + 1, || None);
        }
        let partition = self.new_partition(epoch, assignment);
        let rebuild = partition.unsorted.is_some();
        let phase = partition.phase;
        let position = partition.tracker.next();
        self.windows += usize::from(partition.deduplicated);
        self.partitions[index] = Some(Box::new(partition));
        self.assigned_count += 1;
        self.unbalanced = true;
        let lost = self.partition(assignment.partition).and_then(|partition| partition.lost_span());
        if let Some((from, to)) = lost {
            let partition = assignment.partition;
            self.effects.push_back(Effect::Escalate(Incident::EventsLost { partition, from, to }));
            if phase == Phase::Halted {
                self.effects.push_back(Effect::Pause(assignment.partition));
            }
        }
        if rebuild {
            self.effects.push_back(Effect::RebuildDedup {
                partition: assignment.partition,
                epoch,
                position,
                window: self.settings.dedup_window,
            });
        }
        self.note_urgent_change(assignment.partition);
        epoch
    }

    fn new_partition(&self, epoch: Epoch, assignment: &Assignment<'_>) -> Partition<P> {
        let mut map = OffsetMap::decode(assignment.metadata, assignment.identity, assignment.position);
        let resolved = map.as_mut().map_or_else(Vec::new, |map| std::mem::take(&mut map.resolved));
        let lost = unresolved(&resolved, assignment.position, assignment.log_start);
        let goes_on = lost.is_empty() || assignment.continue_after_loss;
        let position = if goes_on { assignment.position.max(assignment.log_start) } else { assignment.position };
        let claim = map.as_ref().map_or(0, |map| map.claim).saturating_add(1).max(assignment.claim.unwrap_or(0));
        let deduplicated = assignment.deduplicated && self.settings.dedup_window > 0;
        let rebuild = goes_on && deduplicated && position > assignment.log_start;
        Partition {
            id: assignment.partition,
            epoch,
            identity: assignment.identity,
            claim,
            phase: if goes_on { Phase::Marking } else { Phase::Halted },
            suspicion: Suspicion::new(map.as_ref(), position, &self.settings),
            attempted: map.as_mut().map_or_else(VecDeque::new, |map| std::mem::take(&mut map.attempts).into()),
            tracker: Tracker::new(position, resolved),
            lanes: Lanes::default(),
            deduplicated,
            window: Window::default(),
            unsorted: rebuild.then(VecDeque::new),
            receipts: position,
            in_flight: 0,
            outdated: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            parked: 0,
            wants_place: false,
            buffered: Budget::default(),
            waiting: Budget::default(),
            pending: 0,
            tally: Tally::default(),
            staged_to: NextOffset(0),
            held_lanes: VecDeque::new(),
            given_up: HashMap::default(),
            beyond: VecDeque::new(),
            paused: !goes_on,
            changed: false,
            mark: None,
            lost,
        }
    }

    /// The group takes these back: finish what runs, commit, then [`Effect::Release`]. Those that are not held are left to
    /// the driver.
    pub fn revoked(&mut self, now: Time, partitions: &[PartitionId]) {
        self.input(now);
        let drain_timeout = self.settings.drain_timeout;
        let cancel_at = self.now + drain_timeout * HANDLERS_MAY_RUN.0 / HANDLERS_MAY_RUN.1;
        let give_up_at = self.now + drain_timeout + Duration::from_millis(1);
        let mut together = std::collections::BTreeSet::new();
        for id in partitions {
            let Some(partition) = self.partition(*id).filter(|partition| !partition.is_leaving()) else { continue };
            partition.phase = Phase::Draining { cancel_at, give_up_at, cancelled: false };
            partition.mark = None;
            let (epoch, running) = (partition.epoch, partition.in_flight > 0);
            together.insert(*id);
            if running {
                self.effects.push_back(Effect::Recall { partition: *id, epoch });
            }
            self.drop_suspected(*id);
            self.set_timer(cancel_at, Timer::Drain(*id, epoch));
            self.set_timer(give_up_at, Timer::Drain(*id, epoch));
        }
        if !together.is_empty() {
            self.revocations.push(together);
        }
    }

    /// They are gone already: drop everything of their epochs, commit nothing (I4).
    pub fn lost(&mut self, now: Time, partitions: &[PartitionId]) {
        self.input(now);
        let mut abort = false;
        for id in partitions {
            if let Some(partition) = self.partition(*id) {
                abort |= partition.staged_to > NextOffset(0);
                let (epoch, running) = (partition.epoch, partition.in_flight > 0);
                if running {
                    self.effects.push_back(Effect::Cancel { partition: *id, epoch });
                }
                self.forget(*id);
            }
        }
        for together in &mut self.revocations {
            together.retain(|id| !partitions.contains(id));
        }
        // Nobody is to give up what was drained just now and is gone.
        self.effects.retain_mut(|effect| {
            let Effect::Release(released) = effect else { return true };
            released.retain(|id| !partitions.contains(id));
            !released.is_empty()
        });
        self.release_drained();
        if abort {
            self.abort();
        }
    }

    /// Revokes everything; when [`Engine::is_drained`], the process may end.
    pub fn shut_down(&mut self, now: Time) {
        let all: Vec<_> = self.partitions.iter().flatten().map(|partition| partition.id).collect();
        self.revoked(now, &all);
    }

    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.assigned_count == 0 && self.effects.is_empty()
    }

    /// The end of the partition was read: the position may move over markers and compacted offsets before it.
    pub fn reached_end(&mut self, now: Time, id: PartitionId, epoch: Epoch, end: NextOffset) {
        self.input(now);
        let Some(partition) = self.live(id, epoch).filter(|partition| !partition.is_leaving()) else { return };
        if end > partition.tracker.next() {
            partition.tracker.advance(end);
            // Offsets without a record need no receipt.
            if partition.tracker.len() == 0 {
                partition.receipts = partition.receipts.max(end);
            }
            self.note_change(id);
        }
        self.check_probation(id, true);
    }

    /// Drains what was revoked: asks for the clean mark as soon as nothing of a partition runs.
    pub(super) fn drain(&mut self) {
        if self.revocations.is_empty() {
            return;
        }
        for id in self.revocations.iter().flatten().copied().collect::<Vec<_>>() {
            let Some(partition) = self.partition(id) else { continue };
            let draining = matches!(partition.phase, Phase::Draining { .. });
            if draining && partition.in_flight == 0 && partition.mark.is_none() {
                self.note_urgent_change(id);
            }
        }
    }

    pub(super) fn drain_timer(&mut self, id: PartitionId, epoch: Epoch) {
        let now = self.now;
        let Some(partition) = self.live(id, epoch) else { return };
        let Phase::Draining { cancel_at, give_up_at, cancelled } = &mut partition.phase else { return };
        if now >= *give_up_at {
            // After a freeze the time to cancel may have passed as well.
            let runs_on = !*cancelled && partition.in_flight > 0;
            partition.phase = Phase::Drained;
            if runs_on {
                self.effects.push_back(Effect::Cancel { partition: id, epoch });
            }
            self.release_drained();
        } else if now >= *cancel_at && !std::mem::replace(cancelled, true) && partition.in_flight > 0 {
            self.effects.push_back(Effect::Cancel { partition: id, epoch });
        }
    }

    /// Releases every revocation whose partitions are all drained.
    pub(super) fn release_drained(&mut self) {
        let mut index = 0;
        while index < self.revocations.len() {
            let ids: Vec<_> = self.revocations[index].iter().copied().collect();
            let drained = ids.iter().all(|id| self.partition(*id).is_none_or(|p| p.phase == Phase::Drained));
            if !drained {
                index += 1;
                continue;
            }
            self.revocations.remove(index);
            let held: Vec<_> = ids.into_iter().filter(|id| self.partition(*id).is_some()).collect();
            let staged = held.iter().any(|id| self.partition(*id).is_some_and(|p| p.staged_to > NextOffset(0)));
            held.iter().for_each(|id| self.forget(*id));
            if staged {
                // Given up with outputs in the open transaction: they must not be committed under this epoch (I4).
                self.abort();
            }
            if !held.is_empty() {
                self.effects.push_back(Effect::Release(held));
            }
        }
    }

    /// Drops all state of a partition; what was unresolved counts as released (I5).
    fn forget(&mut self, id: PartitionId) {
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.assigned_count -= 1;
        self.windows -= usize::from(partition.deduplicated);
        self.unbalanced = true;
        for (_, entry) in partition.tracker.iter() {
            match entry.state {
                State::InFlight => {
                    if let Some(route) = self.routes.get_mut(entry.route.0 as usize) {
                        route.ended(entry.tenant, now);
                    }
                    self.totals.released += 1;
                }
                State::Waiting | State::Parked | State::Suspected | State::Pending | State::Halted => {
                    self.totals.released += 1;
                }
                State::Staged(_) | State::Resolved => {}
            }
        }
        self.totals.released += partition.tally.total();
        self.in_flight -= partition.in_flight;
        let Budget { records, bytes } = partition.waiting;
        self.buffered.remove(partition.buffered.records, partition.buffered.bytes);
        self.waiting.remove(records, bytes);
        if partition.paused {
            self.paused.remove(records, bytes);
        }
        self.changed.retain(|changed| *changed != id);
        self.exclusive.take_if(|(exclusive, ..)| *exclusive == id);
        self.transaction.pending.retain(|output| output.ticket.partition != id);
        self.forget_those_of(partition.awaiting);
    }
}
