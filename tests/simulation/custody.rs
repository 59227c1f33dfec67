//! What one process holds and runs, seen from outside its engine: I3, I4 and I7 as the driver sees them.

use std::collections::BTreeMap;
use std::ops::Range;

use coafi_core::engine::{Disposition, Epoch, Job, Output, PartitionId, RouteId, Settings, Ticket, Time};
use coafi_core::event::Offset;

use crate::broker::Outcome;
use crate::checks::{Checked, ensure};
use crate::handlers::Payload;
use crate::routing::Lane;

#[derive(Debug)]
struct Watch {
    epoch: Epoch,
    revoked: bool,
    /// Records given to the engine and not yet ended by a committed outcome, with their bytes.
    live: BTreeMap<Offset, usize>,
    /// What an earlier owner resolved: the engine skips it.
    resolved_before: Vec<Range<i64>>,
    lanes: BTreeMap<Lane, LaneWatch>,
    /// The lanes of those that were dispatched under the routes in force.
    lane_of: BTreeMap<Offset, Lane>,
    /// When a record that waits for its next attempt may run, on the engine's clock.
    due: BTreeMap<Offset, Time>,
    /// Before when a handler that failed asked not to be tried again, by the attempt that failed.
    asked: BTreeMap<(Offset, u32), Time>,
    /// The handlers that still run were told not to begin with another record, and to stop.
    recalled: bool,
    cancelled: bool,
}

#[derive(Debug, Default)]
struct LaneWatch {
    /// The last offset of the run that is with a worker.
    out: Option<Offset>,
    /// The highest offset that was ever dispatched.
    highest: Option<Offset>,
    /// The last that is dead-lettered, as long as that is not committed.
    given_up: Option<Offset>,
}

#[derive(Debug, Default)]
pub(crate) struct Custody {
    watches: BTreeMap<PartitionId, Watch>,
    /// Jobs with workers, of current epochs.
    out: BTreeMap<Ticket, Out>,
}

#[derive(Debug)]
struct Out {
    /// Of the routes in force; `None` if none takes it any more.
    route: Option<RouteId>,
    lane: Option<Lane>,
    /// It was handed out under earlier routes.
    outdated: bool,
}

impl Custody {
    pub(crate) fn assigned(&mut self, partition: PartitionId, epoch: Epoch, resolved_before: Vec<Range<i64>>) {
        let watch = Watch {
            epoch,
            revoked: false,
            live: BTreeMap::new(),
            resolved_before,
            lanes: BTreeMap::new(),
            lane_of: BTreeMap::new(),
            due: BTreeMap::new(),
            asked: BTreeMap::new(),
            recalled: false,
            cancelled: false,
        };
        self.watches.insert(partition, watch);
    }

    pub(crate) fn revoked(&mut self, partition: PartitionId) {
        if let Some(watch) = self.watches.get_mut(&partition) {
            watch.revoked = true;
        }
    }

    /// Released or lost.
    pub(crate) fn dropped(&mut self, partition: PartitionId) {
        self.watches.remove(&partition);
        self.out.retain(|ticket, _| ticket.partition != partition);
    }

    pub(crate) fn recalled(&mut self, partition: PartitionId, epoch: Epoch) {
        if let Some(watch) = self.watches.get_mut(&partition).filter(|watch| watch.epoch == epoch) {
            watch.recalled = true;
        }
    }

    pub(crate) fn cancelled(&mut self, partition: PartitionId, epoch: Epoch) {
        if let Some(watch) = self.watches.get_mut(&partition).filter(|watch| watch.epoch == epoch) {
            watch.cancelled = true;
        }
    }

    /// Handlers of revoked partitions know of it; those of `overdue` ones are told to stop.
    pub(crate) fn handlers_are_told(&self, overdue: impl Fn(PartitionId) -> bool) -> Checked {
        for (partition, watch) in self.watches.iter().filter(|(_, watch)| watch.revoked) {
            let runs = self.runs_anything_of(*partition);
            ensure(!runs || watch.recalled, "I4", || {
                format!("partition {} was revoked, and what waits behind its handlers is not recalled", partition.0)
            })?;
            ensure(!runs || watch.cancelled || !overdue(*partition), "I8", || {
                format!("partition {} was revoked long ago, and its handlers are not stopped", partition.0)
            })?;
        }
        Ok(())
    }

    pub(crate) fn delivered(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        offset: Offset,
        bytes: u32,
        due: Option<Time>,
    ) {
        let Some(watch) = self.watches.get_mut(&partition).filter(|watch| watch.epoch == epoch && !watch.revoked)
        else {
            return;
        };
        if !watch.resolved_before.iter().any(|range| range.contains(&offset.0)) {
            watch.live.insert(offset, bytes as usize);
            watch.due.extend(due.map(|due| (offset, due)));
        }
    }

    pub(crate) fn is_current(&self, partition: PartitionId, epoch: Epoch) -> bool {
        self.watches.get(&partition).is_some_and(|watch| watch.epoch == epoch)
    }

    /// I3, I4: the engine hands out a run.
    pub(crate) fn dispatched(
        &mut self,
        now: Time,
        run: &[Job<Payload>],
        lane_of: impl Fn(&Job<Payload>) -> Option<Lane>,
        settings: &Settings,
        concurrency: usize,
    ) -> Checked {
        let Some(first) = run.first() else { return ensure(false, "I3", || "an empty run".into()) };
        ensure(run.len() <= settings.max_run, "I7", || format!("a run of {} records", run.len()))?;
        let lane = lane_of(first);
        for (index, job) in run.iter().enumerate() {
            let Ticket { partition, epoch, offset, .. } = job.ticket;
            let at = format!("partition {} offset {offset} of epoch {}", partition.0, epoch.0);
            let same = partition == first.ticket.partition && lane_of(job) == lane && job.route == first.route;
            ensure(same, "I3", || format!("{at} is in a run of another lane"))?;
            let Some(watch) = self.watches.get_mut(&partition).filter(|watch| watch.epoch == epoch) else {
                return ensure(false, "I4", || format!("{at} is dispatched; that is not the current epoch"));
            };
            ensure(!watch.revoked, "I4", || format!("{at} is dispatched after the partition was revoked"))?;
            ensure(watch.live.contains_key(&offset), "I5", || format!("{at} is dispatched and not held"))?;
            let due = watch.due.remove(&offset).unwrap_or(now);
            ensure(due <= now, "retry", || format!("{at} runs {:?} before it is due", due - now))?;
            self.out.insert(job.ticket, Out { route: Some(job.route), lane, outdated: false });
            let Some(lane) = lane else { continue };
            watch.lane_of.insert(offset, lane);
            let lane_watch = watch.lanes.entry(lane).or_default();
            let free = lane_watch.out.is_none_or(|out| index > 0 && out < offset);
            ensure(free, "I3", || format!("{at} is dispatched while {:?} of its lane is out", lane_watch.out))?;
            let in_order = lane_watch.highest.is_none_or(|highest| highest <= offset);
            ensure(in_order, "I3", || format!("{at} is dispatched after {:?} of its lane", lane_watch.highest))?;
            let decided = lane_watch.given_up.is_none_or(|given_up| given_up >= offset);
            ensure(decided, "I3", || {
                format!(
                    "{at} is dispatched, and that {:?} of its lane is given up is not committed",
                    lane_watch.given_up
                )
            })?;
            lane_watch.out = Some(offset);
        }
        let route = first.route;
        let of_route = self.out.values().filter(|out| out.route == Some(route)).count();
        ensure(of_route <= concurrency, "I7", || format!("{of_route} of route {} in flight", route.0))?;
        ensure(self.out.len() <= settings.max_in_flight, "I7", || format!("{} in flight", self.out.len()))
    }

    /// Other routes are in force. Their lanes have no order yet that what began before could have broken; what is out keeps
    /// its new lane from starting anything.
    pub(crate) fn rerouted(&mut self, mut look: impl FnMut(&Ticket) -> (Option<RouteId>, Option<Lane>)) {
        for watch in self.watches.values_mut() {
            watch.lanes.clear();
            watch.lane_of.clear();
        }
        for (ticket, out) in &mut self.out {
            let (route, lane) = look(ticket);
            *out = Out { route, lane, outdated: true };
            if let (Some(lane), Some(watch)) = (lane, self.watches.get_mut(&ticket.partition)) {
                let lane = watch.lanes.entry(lane).or_default();
                lane.out = lane.out.max(Some(ticket.offset));
            }
        }
    }

    /// A handler begins with a record: what may not begin again after a later one of its lane.
    pub(crate) fn started(&mut self, ticket: &Ticket) {
        let Some(Out { lane: Some(lane), outdated: false, .. }) = self.out.get(ticket) else { return };
        if let Some(watch) = self.watches.get_mut(&ticket.partition) {
            let lane = watch.lanes.entry(*lane).or_default();
            lane.highest = lane.highest.max(Some(ticket.offset));
        }
    }

    pub(crate) fn reported(&mut self, ticket: &Ticket) {
        let Some(Out { lane: Some(lane), .. }) = self.out.remove(ticket) else { return };
        let more = self.out.iter().any(|(out, other)| out.partition == ticket.partition && other.lane == Some(lane));
        if let Some(watch) = self.watches.get_mut(&ticket.partition).filter(|_| !more) {
            watch.lanes.entry(lane).or_default().out = None;
        }
    }

    pub(crate) fn asked(&mut self, ticket: &Ticket, attempt: u32, not_before: Time) {
        if let Some(watch) = self.watches.get_mut(&ticket.partition).filter(|watch| watch.epoch == ticket.epoch) {
            watch.asked.insert((ticket.offset, attempt), not_before);
        }
    }

    /// The partition's epoch, if handlers run under it.
    pub(crate) fn epoch_with_handlers(&self, partition: PartitionId) -> Option<Epoch> {
        self.out.keys().find(|ticket| ticket.partition == partition).map(|ticket| ticket.epoch)
    }

    pub(crate) fn runs_anything_of(&self, partition: PartitionId) -> bool {
        self.out.keys().any(|ticket| ticket.partition == partition)
    }

    /// I4: the engine produces something.
    pub(crate) fn staged(&mut self, output: &Outcome) -> Checked {
        let Output { ticket, .. } = output;
        let live = self.watches.get_mut(&ticket.partition).filter(|watch| watch.epoch == ticket.epoch);
        let Some(watch) = live.filter(|watch| watch.live.contains_key(&ticket.offset)) else {
            return ensure(false, "I4", || {
                format!("an outcome of {ticket:?} is staged; it is not held under this epoch")
            });
        };
        if let Disposition::RetryInPlace { due, .. } = output.disposition {
            let asked = watch.asked.get(&(ticket.offset, output.attempt)).copied().unwrap_or_default();
            ensure(due >= asked, "I8", || format!("{ticket:?} is due at {due:?}, and not wanted before {asked:?}"))?;
            watch.due.insert(ticket.offset, due);
        }
        if let (Disposition::DeadLetter { .. }, 1.., Some(lane)) =
            (&output.disposition, output.attempt, watch.lane_of.get(&ticket.offset))
        {
            watch.lanes.entry(*lane).or_default().given_up = Some(ticket.offset);
        }
        Ok(())
    }

    pub(crate) fn committed(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes.iter().filter(|outcome| outcome.disposition.resolves()) {
            let ticket = outcome.ticket;
            if let Some(watch) = self.watches.get_mut(&ticket.partition).filter(|watch| watch.epoch == ticket.epoch) {
                watch.live.remove(&ticket.offset);
                let lane = watch.lane_of.remove(&ticket.offset);
                if let Some(lane) = lane.and_then(|lane| watch.lanes.get_mut(&lane)) {
                    lane.given_up.take_if(|given_up| *given_up == ticket.offset);
                }
            }
        }
    }

    /// I7: records and bytes that the engine must be holding.
    pub(crate) fn within(&self, settings: &Settings, poll_batch: usize, largest: usize) -> Checked {
        let records: usize = self.watches.values().map(|watch| watch.live.len()).sum();
        let bytes: usize = self.watches.values().flat_map(|watch| watch.live.values()).sum();
        ensure(records <= settings.max_records + poll_batch, "I7", || format!("{records} records are buffered"))?;
        ensure(bytes <= settings.max_bytes + poll_batch * largest, "I7", || format!("{bytes} bytes are buffered"))
    }

    /// Records held under epochs that are not being given up.
    pub(crate) fn held(&self) -> Option<usize> {
        let steady = self.watches.values().all(|watch| !watch.revoked);
        steady.then(|| self.watches.values().map(|watch| watch.live.len()).sum())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.out.len()
    }
}
