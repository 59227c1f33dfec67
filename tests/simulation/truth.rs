//! The truth about every record, kept outside the engine. What it must agree with is in `checks.rs`.

use std::collections::BTreeMap;

use coafi_core::engine::offset_map::{Attempted, OffsetMap};
use coafi_core::engine::{EventsLost, PartitionId, Verdict};
use coafi_core::event::{NextOffset, Offset};

use crate::broker::{Message, Outcome};
use crate::checks::{Checked, ensure};
use crate::handlers::Origin;
use crate::profile::{Mode, Profile};
use crate::routing::{Lane, Names, Routing, Routings};

/// Starts of one record where records stand still for good: attempts, and what crashes, rebalances and short outages add.
const MAX_STARTS: u32 = 60;

/// One record of one log.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) message: Message,
    /// By the first routes.
    pub(crate) lane: Option<Lane>,
    /// Committed attempts, earlier ones that brought it into a retry topic included.
    pub(crate) attempts: u32,
    pub(crate) done: Names,
    /// The committed end.
    pub(crate) end: Option<&'static str>,
    pub(crate) receipted: bool,
    /// Retention took it: whoever starts now cannot know of it.
    pub(crate) taken: bool,
    /// ... before it was handled, and the loss was reported.
    pub(crate) lost: bool,
}

/// One record through its retry topics.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) attempts: u32,
    /// Committed ends other than a move to a retry topic.
    pub(crate) ends: Vec<&'static str>,
    pub(crate) starts: u32,
    /// Handlers that have succeeded, whatever became of that.
    pub(crate) succeeded: Names,
    /// A committed offset that a stranger set back has made it run again.
    pub(crate) again: bool,
    /// Deaths that named it and that no other record has caused.
    pub(crate) deaths: u32,
}

#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) mode: Mode,
    pub(crate) routings: Routings,
    pub(crate) dedup_window: i64,
    pub(crate) crash_deaths: u32,
    pub(crate) fates: BTreeMap<(PartitionId, Offset), Fate>,
    pub(crate) lanes: BTreeMap<(PartitionId, Lane), Vec<Offset>>,
    /// What the last owner's unclean end was the doing of.
    pub(crate) killers: BTreeMap<PartitionId, Option<Origin>>,
    pub(crate) runs: BTreeMap<Origin, Run>,
    pub(crate) positions: BTreeMap<PartitionId, NextOffset>,
    /// Committed ends by name, for the summary and the scenarios.
    pub(crate) ended: BTreeMap<&'static str, u64>,
}

impl Truth {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            mode: profile.mode,
            routings: Routings::new(Routing::first(profile)),
            dedup_window: i64::from(profile.settings.dedup_window),
            crash_deaths: profile.settings.crash_deaths,
            fates: BTreeMap::new(),
            lanes: BTreeMap::new(),
            killers: BTreeMap::new(),
            runs: BTreeMap::new(),
            positions: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    fn lane(&self, message: &Message) -> Option<Lane> {
        let Verdict::Routed { .. } = message.verdict else { return None };
        self.routings.version(0).lane(&message.payload)
    }

    /// A record became visible in a log.
    pub(crate) fn visible(&mut self, partition: PartitionId, offset: Offset, message: &Message) {
        let lane = self.lane(message);
        if let Some(lane) = lane {
            self.lanes.entry((partition, lane)).or_default().push(offset);
        }
        let (attempts, done) = (message.attempts, message.done);
        let message = message.clone();
        let fate = Fate { message, lane, attempts, done, end: None, receipted: false, taken: false, lost: false };
        self.fates.insert((partition, offset), fate);
    }

    pub(crate) fn receipted(&mut self, partition: PartitionId, from: NextOffset, to: NextOffset) {
        for (_, fate) in self.fates.range_mut((partition, from.first())..(partition, to.first())) {
            fate.receipted = true;
        }
    }

    pub(crate) fn truncated(&mut self, partition: PartitionId, start: NextOffset) {
        for (_, fate) in self.fates.range_mut((partition, Offset(i64::MIN))..(partition, start.first())) {
            fate.taken = true;
        }
    }

    /// The audit record of lost offsets is committed (I10): it names nothing that was resolved.
    pub(crate) fn lost(&mut self, lost: &EventsLost) -> Checked {
        let known = self.mode == Mode::Transactional;
        for ((_, offset), fate) in self.fates.range_mut((lost.partition, lost.from)..(lost.partition, lost.to.first()))
        {
            ensure(!known || fate.end.is_none(), "I10", || {
                format!("partition {} offset {offset} is reported lost; it ended as {:?}", lost.partition.0, fate.end)
            })?;
            fate.lost = true;
        }
        *self.ended.entry("lost").or_default() += 1;
        Ok(())
    }

    pub(crate) fn started(&mut self, origin: Origin) {
        self.runs.entry(origin).or_default().starts += 1;
    }

    /// Records that stand still for good do not begin again and again, whatever they wait for.
    pub(crate) fn stands_still(&self, origin: Origin) -> Checked {
        let starts = self.starts(origin);
        ensure(starts <= MAX_STARTS, "I6", || format!("{origin:?} has begun {starts} times"))
    }

    pub(crate) fn succeeded(&mut self, origin: Origin, handlers: Names) {
        self.runs.entry(origin).or_default().succeeded |= handlers;
    }

    pub(crate) fn succeeded_of(&self, origin: Origin) -> Names {
        self.runs.get(&origin).map_or(0, |run| run.succeeded)
    }

    /// Names of the handlers that an outcome says are done, or `None` if one of them is not its route's: of the routes that
    /// the attempt was made under, else of those that the record was last looked at under.
    pub(crate) fn done_by_name(&self, outcome: &Outcome) -> Option<Names> {
        let version = outcome.report.map_or(outcome.payload.version, |report| report.version);
        self.routings.version(version).names(outcome.payload.kind, outcome.done)
    }

    /// An owner died, or lost the partition: by this record's doing, or by no record's.
    pub(crate) fn owner_died(&mut self, partition: PartitionId, killer: Option<Origin>) {
        self.killers.insert(partition, killer);
    }

    /// The next owner reads that this record was about to run when the last one died. It counts, unless another record is
    /// known to have done it: that one's deaths condemn nobody else.
    pub(crate) fn named_by_a_death(&mut self, partition: PartitionId, offset: Offset) {
        let Some(fate) = self.fates.get(&(partition, offset)) else { return };
        let origin = fate.message.payload.origin;
        let killer = self.killers.get(&partition).copied().flatten();
        if killer.is_none_or(|killer| killer == origin) {
            self.runs.entry(origin).or_default().deaths += 1;
        }
    }

    pub(crate) fn starts(&self, origin: Origin) -> u32 {
        self.runs.get(&origin).map_or(0, |run| run.starts)
    }

    pub(crate) fn is_receipted(&self, partition: PartitionId, offset: Offset) -> bool {
        self.fates.get(&(partition, offset)).is_some_and(|fate| fate.receipted)
    }

    pub(crate) fn end_of(&self, partition: PartitionId, offset: Offset) -> Option<&'static str> {
        self.fates.get(&(partition, offset)).and_then(|fate| fate.end)
    }

    /// The records that nothing has ended, of all partitions or one.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        self.fates.iter().filter(|(_, fate)| fate.end.is_none() && !fate.lost).map(|(at, _)| *at)
    }

    /// Somebody who does not own the partition has committed this, and an owner begins from it: what was done above the
    /// position counts for nothing, unless the map says so; what is below it is passed over. (A new run, in the words of I6.)
    pub(crate) fn moved_by_a_stranger(
        &mut self,
        partition: PartitionId,
        position: NextOffset,
        map: Option<&OffsetMap>,
    ) {
        self.positions.insert(partition, position);
        for ((_, offset), fate) in self.fates.range_mut((partition, Offset(i64::MIN))..=(partition, Offset(i64::MAX))) {
            if position.covers(*offset) {
                fate.lost |= fate.end.is_none();
                continue;
            }
            if map.is_some_and(|map| map.resolved.iter().any(|range| range.contains(&offset.0))) {
                continue;
            }
            let known = map.and_then(|map| map.attempts.iter().find(|known| known.offset == *offset));
            let message = &fate.message;
            // Looked at only where all versions have the same handlers.
            let names = |known: &Attempted| self.routings.version(0).names(message.payload.kind, known.done);
            (fate.attempts, fate.done) = known
                .map_or((message.attempts, message.done), |known| (known.attempts, names(known).unwrap_or_default()));
            fate.end = None;
            fate.lost = false;
            self.runs.entry(fate.message.payload.origin).or_default().again = true;
        }
    }

    /// At the end of a run in which nothing may stand still for ever.
    pub(crate) fn every_event_ended(&self) -> Checked {
        for ((partition, offset), fate) in &self.fates {
            let payload = fate.message.payload;
            let origin = Origin { partition: *partition, offset: *offset };
            if payload.origin != origin || fate.lost {
                continue;
            }
            let ends = self.runs.get(&origin).map_or(&[][..], |run| &run.ends);
            let once = self.mode == Mode::Transactional && !self.runs.get(&origin).is_some_and(|run| run.again);
            let right = if once { ends.len() == 1 } else { !ends.is_empty() };
            ensure(right, "I2", || format!("partition {} offset {offset} ended as {ends:?}", partition.0))?;
        }
        Ok(())
    }
}
