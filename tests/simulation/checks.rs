//! The truth about every record, kept outside the engine, and what must hold whenever something is committed.

use std::collections::BTreeMap;

use coafi::engine::offset_map::OffsetMap;
use coafi::engine::{
    Class, Disposition, EventsLost, Ordering, PartitionCommit, PartitionId, RouteId, RoutePolicy, Verdict,
};
use coafi::event::{NextOffset, Offset};

use crate::broker::{Broker, Message, Outcome, Transaction};
use crate::handlers::{Behaviour, Origin, Services};
use crate::profile::{Mode, Profile};

/// What was found to be wrong: the invariant's number in `docs/invariants.md`, and where.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) message: String,
}

pub(crate) type Checked = Result<(), Violation>;

pub(crate) fn ensure(holds: bool, invariant: &'static str, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, message: message() }) }
}

/// What keeps a record's order: its route, and the key's hash where the route goes by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane {
    pub(crate) route: RouteId,
    pub(crate) hash: u64,
}

/// One record of one log.
#[derive(Debug)]
struct Fate {
    message: Message,
    lane: Option<Lane>,
    /// Committed attempts, earlier ones that brought it into a retry topic included.
    attempts: u32,
    done: u32,
    /// The committed end.
    end: Option<&'static str>,
    receipted: bool,
    /// Retention took it: whoever starts now cannot know of it.
    taken: bool,
    /// ... before it was handled, and the loss was reported.
    lost: bool,
}

/// One record through its retry topics.
#[derive(Debug, Default)]
struct Run {
    attempts: u32,
    /// Committed ends other than a move to a retry topic.
    ends: Vec<&'static str>,
    starts: u32,
    /// Deaths that named it and that no other record has caused.
    deaths: u32,
}

#[derive(Debug)]
pub(crate) struct Truth {
    mode: Mode,
    routes: Vec<RoutePolicy>,
    dedup_window: i64,
    crash_deaths: u32,
    fates: BTreeMap<(PartitionId, Offset), Fate>,
    lanes: BTreeMap<(PartitionId, Lane), Vec<Offset>>,
    /// What the last owner's unclean end was the doing of.
    killers: BTreeMap<PartitionId, Option<Origin>>,
    runs: BTreeMap<Origin, Run>,
    positions: BTreeMap<PartitionId, NextOffset>,
    /// Committed ends by name, for the summary and the scenarios.
    pub(crate) ended: BTreeMap<&'static str, u64>,
}

impl Truth {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            mode: profile.mode,
            routes: profile.routes.clone(),
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

    pub(crate) fn lane(&self, message: &Message) -> Option<Lane> {
        let Verdict::Routed { route, lane } = message.verdict else { return None };
        match self.routes[route.0 as usize].ordering {
            Ordering::None => None,
            Ordering::Partition => Some(Lane { route, hash: 0 }),
            Ordering::Key | Ordering::Strict => Some(Lane { route, hash: lane }),
        }
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

    /// The audit record of lost offsets is committed (I10).
    pub(crate) fn lost(&mut self, lost: &EventsLost) {
        for (_, fate) in self.fates.range_mut((lost.partition, lost.from)..(lost.partition, lost.to.first())) {
            fate.lost = true;
        }
        *self.ended.entry("lost").or_default() += 1;
    }

    pub(crate) fn started(&mut self, origin: Origin) {
        self.runs.entry(origin).or_default().starts += 1;
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

    pub(crate) fn end_of(&self, partition: PartitionId, offset: Offset) -> Option<&'static str> {
        self.fates.get(&(partition, offset)).and_then(|fate| fate.end)
    }

    /// I1, I2, I6, I10: everything that one transaction made visible.
    pub(crate) fn transaction(
        &mut self,
        transaction: &Transaction,
        identity: Identify,
        broker: &Broker,
        services: &Services,
    ) -> Checked {
        for (partition, offset) in &transaction.appended {
            let message = broker.message(*partition, *offset).expect("the commit made it visible");
            self.visible(*partition, *offset, message);
        }
        for outcome in &transaction.outcomes {
            self.outcome(outcome, services)?;
            let partition = outcome.ticket.partition;
            let has_offset = transaction.offsets.iter().any(|commit| commit.partition == partition);
            ensure(has_offset, "I2", || format!("the outcome of {} is committed without its offset", place(outcome)))?;
        }
        transaction.outcomes.iter().try_for_each(|outcome| self.lane_is_in_order(outcome))?;
        transaction.offsets.iter().try_for_each(|commit| self.position(commit, identity, broker))
    }

    /// One outcome record that is committed, or acknowledged at-least-once.
    pub(crate) fn outcome(&mut self, outcome: &Outcome, services: &Services) -> Checked {
        let at = (outcome.ticket.partition, outcome.ticket.offset);
        let exactly_once = self.mode == Mode::Transactional;
        let Some(fate) = self.fates.get(&at) else {
            return ensure(false, "I10", || format!("an outcome for {}, where no record is", place(outcome)));
        };
        let receipted = fate.receipted || !exactly_once;
        ensure(receipted, "I2", || format!("{} has an outcome before its receipt", place(outcome)))?;
        if exactly_once && let Some(end) = fate.end {
            return ensure(false, "I2", || {
                format!("{} ended as {end} and again as {:?}", place(outcome), outcome.disposition)
            });
        }
        self.attempts_follow(outcome, fate)?;
        self.end_is_expected(outcome, fate, services)?;
        self.duplicate_is_one(outcome, fate)?;
        let origin = fate.message.payload.origin;
        let run = self.runs.entry(origin).or_default();
        run.attempts = run.attempts.max(outcome.attempt);
        if let (true, name) = (outcome.disposition.resolves(), name(&outcome.disposition)) {
            if !matches!(outcome.disposition, Disposition::RetryTopic { .. }) {
                run.ends.push(name);
            }
            *self.ended.entry(name).or_default() += 1;
        } else {
            *self.ended.entry(name(&outcome.disposition)).or_default() += 1;
        }
        let fate = self.fates.get_mut(&at).expect("seen above");
        fate.attempts = fate.attempts.max(outcome.attempt);
        fate.done |= outcome.done;
        if outcome.disposition.resolves() {
            fate.end = Some(name(&outcome.disposition));
        }
        Ok(())
    }

    /// I6: attempts are 1, 2, 3, …; none exceeds the policy.
    fn attempts_follow(&self, outcome: &Outcome, fate: &Fate) -> Checked {
        let origin = fate.message.payload.origin;
        let before = match self.mode {
            Mode::Transactional => self.runs.get(&origin).map_or(0, |run| run.attempts),
            Mode::AtLeastOnce => fate.attempts,
        };
        let attempt = outcome.attempt;
        let used = match &outcome.disposition {
            _ if outcome.overflow => false,
            Disposition::Duplicate { .. } | Disposition::Unprocessed => false,
            // A filter that does not want a record uses no attempt; what halts may be reported at every restart.
            Disposition::Filtered | Disposition::Halted { .. } => false,
            Disposition::DeadLetter { class } => {
                !matches!(class, Class::Crash) && matches!(fate.message.verdict, Verdict::Routed { .. })
            }
            _ => true,
        };
        let follows = match self.mode {
            _ if !used => attempt <= before + 1,
            Mode::Transactional => attempt == before + 1,
            // A crash between the outcome and the offset repeats the attempt.
            Mode::AtLeastOnce => (1..=before + 1).contains(&attempt),
        };
        ensure(follows, "I6", || {
            format!("{} has attempt {attempt} committed after {before}: {:?}", place(outcome), outcome.disposition)
        })?;
        let Some(policy) = outcome.route.map(|route| &self.routes[route.0 as usize].retry) else { return Ok(()) };
        ensure(attempt <= policy.max_attempts(), "I6", || {
            format!("{} has attempt {attempt} of at most {}", place(outcome), policy.max_attempts())
        })?;
        match &outcome.disposition {
            Disposition::RetryInPlace { class, .. } | Disposition::RetryTopic { class, .. } => {
                ensure(!matches!(class, Class::Systemic(_)), "I6", || {
                    format!("{} used up an attempt in an outage", place(outcome))
                })?;
                let fault = matches!(class, Class::Panic | Class::Deadline);
                ensure(!fault || attempt < policy.fault_attempts, "I6", || {
                    format!("{} is tried again after fault {attempt} of {}", place(outcome), policy.fault_attempts)
                })
            }
            _ => Ok(()),
        }
    }

    /// The end is the one that the record's behaviour and its route's policy make.
    fn end_is_expected(&self, outcome: &Outcome, fate: &Fate, services: &Services) -> Checked {
        let payload = fate.message.payload;
        let run = self.runs.get(&payload.origin);
        let policy = outcome.route.map(|route| &self.routes[route.0 as usize].retry);
        let failures = payload.behaviour.failures();
        // Overflowing the parked window sends a record on with attempts in place unused.
        let surely_allowed = policy.map_or(0, |policy| policy.tiers.len() as u32);
        let expected = match &outcome.disposition {
            Disposition::Processed => outcome.report.is_some() && outcome.report == services.result(payload.origin),
            Disposition::Filtered => payload.behaviour == Behaviour::Filtered,
            Disposition::Unprocessed => fate.message.verdict == Verdict::Unrecognised,
            Disposition::Duplicate { first_seen } => {
                let first = self.fates.get(&(outcome.ticket.partition, *first_seen));
                *first_seen < outcome.ticket.offset
                    && first.is_some_and(|first| first.message.identity == fate.message.identity)
            }
            Disposition::DeadLetter { class } => match class {
                Class::Poison => fate.message.verdict == Verdict::Poison || payload.behaviour == Behaviour::Poison,
                Class::Invalid => payload.behaviour == Behaviour::Invalid,
                Class::Permanent => payload.behaviour == Behaviour::Permanent,
                Class::Transient => payload.behaviour == Behaviour::SameError || failures > surely_allowed,
                Class::Panic => matches!(payload.behaviour, Behaviour::Panic { .. }),
                Class::Deadline => matches!(payload.behaviour, Behaviour::Hang { .. }),
                Class::Systemic(_) => false,
                Class::Crash => run.is_some_and(|run| run.deaths >= self.crash_deaths),
            },
            Disposition::RetryInPlace { .. } | Disposition::RetryTopic { .. } | Disposition::Halted { .. } => true,
        };
        ensure(expected, "outcome", || {
            format!("{} ({:?}, {run:?}) must not end as {:?}", place(outcome), payload.behaviour, outcome.disposition)
        })?;
        let kept = outcome.done & fate.done == fate.done || outcome.attempt == 0 || self.mode == Mode::AtLeastOnce;
        ensure(kept, "I9", || format!("{} has forgotten handlers that are done", place(outcome)))
    }

    /// Of equal events within the window, only the first is handled.
    fn duplicate_is_one(&self, outcome: &Outcome, fate: &Fate) -> Checked {
        if fate.message.identity.is_none() || !matches!(outcome.disposition, Disposition::Processed) {
            return Ok(());
        }
        let (partition, offset) = (outcome.ticket.partition, outcome.ticket.offset);
        let window = (partition, Offset(offset.0 - self.dedup_window + 1))..(partition, offset);
        let twin = self.fates.range(window).find(|(_, earlier)| {
            earlier.message.identity == fate.message.identity && !earlier.taken && earlier.end.is_some()
        });
        ensure(twin.is_none(), "dedup", || {
            format!("{} was handled, though it is a duplicate of offset {}", place(outcome), twin.expect("some").0.1)
        })
    }

    /// I3 as committed: what ends in a lane ends in the order of the offsets.
    fn lane_is_in_order(&self, outcome: &Outcome) -> Checked {
        let (partition, offset) = (outcome.ticket.partition, outcome.ticket.offset);
        let handled = match &outcome.disposition {
            Disposition::Processed | Disposition::Filtered | Disposition::RetryTopic { .. } => true,
            Disposition::DeadLetter { class } => *class != Class::Crash,
            _ => false,
        };
        let Some(lane) = self.fates[&(partition, offset)].lane.filter(|_| handled) else { return Ok(()) };
        let mut offsets = self.lanes[&(partition, lane)].iter().take_while(|earlier| **earlier < offset);
        let overtaken = offsets.find(|earlier| {
            let fate = &self.fates[&(partition, **earlier)];
            fate.end.is_none() && !fate.lost
        });
        ensure(overtaken.is_none(), "I3", || {
            format!("{} ended before offset {} of its lane", place(outcome), overtaken.expect("some"))
        })
    }

    /// I1, I10: a committed position and its map say what is true.
    pub(crate) fn position(&mut self, commit: &PartitionCommit, identity: Identify, broker: &Broker) -> Checked {
        let PartitionCommit { partition, position, metadata, .. } = commit;
        let before = self.positions.insert(*partition, *position).unwrap_or(NextOffset(i64::MIN));
        ensure(*position >= before, "I1", || {
            format!("partition {} went back from {before} to {position}", partition.0)
        })?;
        let end = broker.stable_end(*partition);
        ensure(*position <= end, "I10", || format!("partition {} at {position}, its end is {end}", partition.0))?;
        let passed = (*partition, Offset(before.0))..(*partition, position.first());
        let unresolved = self.fates.range(passed).find(|(_, fate)| fate.end.is_none() && !fate.lost);
        ensure(unresolved.is_none(), "I1", || {
            let offset = unresolved.expect("some").0.1;
            format!("partition {} is committed at {position}, past offset {offset}, which is unresolved", partition.0)
        })?;
        let mut passed = self.fates.range((*partition, Offset(before.0))..(*partition, position.first()));
        let unreceipted = passed.find(|(_, fate)| !fate.receipted && !fate.lost);
        ensure(unreceipted.is_none(), "I2", || {
            let offset = unreceipted.expect("some").0.1;
            format!("partition {} is committed at {position}, past offset {offset}, which has no receipt", partition.0)
        })?;
        let map = OffsetMap::decode(metadata, identity(*partition), *position);
        let Some(map) = map else {
            return ensure(false, "I1", || format!("partition {}: {metadata:?} does not decode", partition.0));
        };
        self.map(*partition, *position, &map)
    }

    fn map(&self, partition: PartitionId, position: NextOffset, map: &OffsetMap) -> Checked {
        let above = (partition, position.first())..(partition, Offset(i64::MAX));
        for ((_, offset), fate) in self.fates.range(above) {
            let named = map.resolved.iter().any(|range| range.contains(&offset.0));
            let ended = fate.end.is_some();
            // At-least-once, an outcome may be in the log whose owner died before it could say so.
            let agrees = named == ended || (self.mode == Mode::AtLeastOnce && !named) || fate.lost;
            ensure(agrees, "I1", || {
                let says = if named { "resolved" } else { "unresolved" };
                format!("the map of partition {} names offset {offset} {says}; it is {:?}", partition.0, fate.end)
            })?;
            ensure(!named || fate.receipted || fate.lost, "I2", || {
                format!("the map of partition {} names offset {offset} resolved; it has no receipt", partition.0)
            })?;
            let known = map.attempts.iter().find(|known| known.offset == *offset);
            let (attempts, done) = known.map_or((fate.message.attempts, fate.message.done), |k| (k.attempts, k.done));
            let survives = ended || self.mode == Mode::AtLeastOnce || (attempts, done) == (fate.attempts, fate.done);
            ensure(survives, "I6", || {
                format!(
                    "the map of partition {} says attempts {attempts} and done {done:b} of offset {offset}; committed are {} and {:b}",
                    partition.0, fate.attempts, fate.done
                )
            })?;
        }
        Ok(())
    }

    /// The records that nothing has ended, of all partitions or one.
    pub(crate) fn unresolved(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        self.fates.iter().filter(|(_, fate)| fate.end.is_none() && !fate.lost).map(|(at, _)| *at)
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
            let right = if self.mode == Mode::Transactional { ends.len() == 1 } else { !ends.is_empty() };
            ensure(right, "I2", || format!("partition {} offset {offset} ended as {ends:?}", partition.0))?;
        }
        Ok(())
    }
}

/// The identity that an offset map of a partition carries.
pub(crate) type Identify = fn(PartitionId) -> u64;

fn place(outcome: &Outcome) -> String {
    format!("partition {} offset {}", outcome.ticket.partition.0, outcome.ticket.offset)
}

/// Every name that [`Truth::ended`] can have; a run over many seeds has met them all.
pub(crate) const ENDS: [&str; 16] = [
    "processed",
    "duplicate",
    "filtered",
    "unprocessed",
    "retry in place",
    "retry topic",
    "halted",
    "dead letter: poison",
    "dead letter: invalid",
    "dead letter: permanent",
    "dead letter: transient",
    "dead letter: panic",
    "dead letter: deadline",
    "dead letter: crash",
    "lost",
    "escalated outage",
];

fn name(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Processed => "processed",
        Disposition::Duplicate { .. } => "duplicate",
        Disposition::Filtered => "filtered",
        Disposition::Unprocessed => "unprocessed",
        Disposition::RetryInPlace { .. } => "retry in place",
        Disposition::RetryTopic { .. } => "retry topic",
        Disposition::Halted { .. } => "halted",
        Disposition::DeadLetter { class } => match class {
            Class::Poison => "dead letter: poison",
            Class::Invalid => "dead letter: invalid",
            Class::Permanent => "dead letter: permanent",
            Class::Transient => "dead letter: transient",
            Class::Panic => "dead letter: panic",
            Class::Deadline => "dead letter: deadline",
            Class::Crash => "dead letter: crash",
            Class::Systemic(_) => "dead letter: systemic",
        },
    }
}
