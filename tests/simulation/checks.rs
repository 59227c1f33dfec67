//! What must hold whenever something is committed.

use coafi_core::engine::offset_map::{Attempted, OffsetMap};
use coafi_core::engine::{Class, Disposition, PartitionCommit, PartitionId, Verdict};
use coafi_core::event::{NextOffset, Offset};

use crate::broker::{Broker, Outcome, Transaction};
use crate::handlers::{Behaviour, Services};
use crate::profile::Mode;
use crate::routing::Names;
use crate::truth::{Fate, Truth};

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

impl Truth {
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
        let Some(done) = self.done_by_name(outcome) else {
            return ensure(false, "I9", || format!("{} has handlers done that its route has not", place(outcome)));
        };
        self.attempts_follow(outcome, fate)?;
        self.end_is_expected(outcome, fate, services)?;
        self.handlers_are_done(outcome, fate, done)?;
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
        fate.done |= done;
        if outcome.disposition.resolves() {
            fate.end = Some(name(&outcome.disposition));
        }
        Ok(())
    }

    /// I6: attempts are 1, 2, 3, …; none exceeds the policy.
    fn attempts_follow(&self, outcome: &Outcome, fate: &Fate) -> Checked {
        let origin = fate.message.payload.origin;
        let before = match self.mode {
            Mode::Transactional => {
                self.runs.get(&origin).filter(|run| !run.again).map_or(fate.attempts, |run| run.attempts)
            }
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
        if outcome.route.is_none() {
            return Ok(());
        }
        let policy = self.routings.allowed(outcome.payload.kind);
        ensure(attempt <= policy.max_attempts, "I6", || {
            format!("{} has attempt {attempt} of at most {}", place(outcome), policy.max_attempts)
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
        let allowed = self.routings.allowed(payload.kind);
        let failures = payload.behaviour.failures();
        // Overflowing the parked window sends a record on with attempts in place unused.
        let surely_allowed = outcome.route.map_or(0, |_| allowed.fewest_tiers);
        let expected = match &outcome.disposition {
            Disposition::Processed => {
                let written = outcome.report.and_then(|report| report.written);
                written.is_some() && written == services.result(payload.origin)
            }
            Disposition::Filtered => payload.behaviour == Behaviour::Filtered,
            Disposition::Unprocessed => fate.message.verdict == Verdict::Unrecognised || !allowed.taken,
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
        })
    }

    /// I9: handlers that are said to be done have succeeded, and are not forgotten as long as the route has the same ones.
    fn handlers_are_done(&self, outcome: &Outcome, fate: &Fate, done: Names) -> Checked {
        let payload = &outcome.payload;
        let succeeded = self.succeeded_of(payload.origin);
        ensure(done & !succeeded == 0, "I9", || {
            format!("{} has handlers {done:b} done, of which {succeeded:b} have succeeded", place(outcome))
        })?;
        let comparable = self.mode == Mode::Transactional && self.routings.allowed(payload.kind).same_handlers;
        // Of attempts whose outcome waits while the routes change, the engine says nothing.
        let says = outcome.disposition.resolves() || self.routings.newest() == 0;
        let kept = done & fate.done == fate.done || outcome.attempt == 0 || !(comparable && says);
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
            // A record that comes to routes which allow it no attempt more waits for nobody: no handler runs.
            Disposition::DeadLetter { class } => {
                *class != Class::Crash && !(outcome.overflow && self.routings.newest() > 0)
            }
            _ => false,
        };
        let allowed = self.routings.allowed(outcome.payload.kind);
        let comparable = handled && allowed.same_order && allowed.taken;
        let Some(lane) = self.fates[&(partition, offset)].lane.filter(|_| comparable) else { return Ok(()) };
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
            let kind = fate.message.payload.kind;
            let names = |known: &Attempted| self.routings.version(0).names(kind, known.done);
            let (attempts, done) =
                known.map_or((fate.message.attempts, Some(fate.message.done)), |known| (known.attempts, names(known)));
            // Of an attempt whose outcome waited while the routes changed, the map may say more than the outcome.
            let succeeded =
                if self.routings.newest() == 0 { fate.done } else { self.succeeded_of(fate.message.payload.origin) };
            let right = |done: Names| fate.done & !done == 0 && done & !succeeded == 0;
            let same_done = !self.routings.allowed(kind).same_handlers || done.is_some_and(right);
            let survives = ended || self.mode == Mode::AtLeastOnce || (attempts == fate.attempts && same_done);
            ensure(survives, "I6", || {
                format!(
                    "the map of partition {} says attempts {attempts} and done {done:?} of offset {offset}; committed are {} and {:b}",
                    partition.0, fate.attempts, fate.done
                )
            })?;
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
pub(crate) const ENDS: [&str; 19] = [
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
    "escalated loss",
    "escalated halt",
    "escalated crash",
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
