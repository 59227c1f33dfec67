//! How a process commits: outputs, offsets, end of the transaction; refused, fenced, or of unknown outcome.

use coafi_core::engine::offset_map::{MAX_HALTED, OffsetMap, room};
use coafi_core::engine::{
    Class, CommitResult, Disposition, EventsLost, PartitionCommit, PartitionId, Settings, Time, TransactionId,
};
use coafi_core::event::NextOffset;

use crate::broker::Outcome;
use crate::checks::{Checked, ensure};
use crate::coordinator::MemberId;
use crate::profile::Mode;
use crate::replica::{Input, Process};
use crate::world::{Event, World, map_identity};

/// A commit or abort that the engine has asked for and not been told the end of.
#[derive(Debug)]
pub(crate) struct Commit {
    transaction: TransactionId,
    offsets: Vec<PartitionCommit>,
    lost: Vec<EventsLost>,
    /// The group's metadata as of the time when the commit was asked for: what fences it once the member has lost anything,
    /// because the broker would take the offsets of a partition that a current member does not own (I4).
    member: MemberId,
    generation: u64,
    asked_at: Time,
}

impl Commit {
    pub(crate) fn names(&self, partition: PartitionId) -> bool {
        self.offsets.iter().any(|offset| offset.partition == partition)
    }
}

fn see_overwritten(world: &mut World, offsets: &[PartitionCommit]) {
    if offsets.iter().any(|offset| world.broker.last_committed(offset.partition).by_a_stranger) {
        world.sighted("a committed offset of a stranger was overwritten by the owner");
    }
}

/// A record that left its place, or halted in it, before its attempts in place were used up.
fn see_overflow(world: &mut World, output: &Outcome) {
    if output.route.is_none() {
        return;
    }
    let policy = world.truth.routings.version(output.payload.version).policy(output.payload.kind);
    let transient = |class: &Class| *class == Class::Transient;
    let early = output.attempt < policy.retry.in_place_attempts;
    match &output.disposition {
        Disposition::RetryTopic { class, .. } if early && transient(class) => {
            world.sighted("overflow to a retry topic")
        }
        Disposition::DeadLetter { class } if early && transient(class) => world.sighted("overflow to the dead letters"),
        Disposition::Halted { class } if early && transient(class) => world.sighted("overflow halted"),
        _ => {}
    }
}

/// I1: the map is as long as the broker takes, and each part of it as long as the engine has reserved. A part that takes
/// room of another would be found only where both are full.
fn map_keeps_its_bounds(commit: &PartitionCommit, settings: &Settings) -> Checked {
    let PartitionCommit { partition, position, metadata, .. } = commit;
    let (size, limit) = (metadata.len(), settings.max_metadata_bytes);
    ensure(size <= limit, "I1", || format!("{size} bytes of metadata, the broker takes {limit}"))?;
    let Some(map) = OffsetMap::decode(metadata, map_identity(*partition), *position) else {
        return ensure(false, "I1", || format!("partition {}: {metadata:?} does not decode", partition.0));
    };
    let (attempts, places) = (map.attempts.len(), settings.max_parked + MAX_HALTED);
    ensure(attempts <= places, "I1", || {
        format!("the map of partition {} has the attempts of {attempts} records, it has {places} places", partition.0)
    })?;
    let (taken, room) = (resolved_bytes(*position, &map), room(settings.max_parked, limit));
    ensure(taken <= room, "I1", || {
        format!("what is resolved takes {taken} bytes of the map of partition {}, there are {room}", partition.0)
    })
}

/// The shorter form's: a bit for each offset, or the lengths of all runs.
fn resolved_bytes(position: NextOffset, map: &OffsetMap) -> usize {
    let number_bytes = |number: i64| (1..).find(|bytes| number >> (7 * bytes) == 0).expect("64 bits are ten bytes");
    let mut at = position.0;
    let mut runs = 0;
    for range in &map.resolved {
        runs += number_bytes(range.start - at) + number_bytes(range.end - range.start);
        at = range.end;
    }
    let bits = usize::try_from(at - position.0).expect("resolved ranges are above the position");
    runs.min(bits.div_ceil(8))
}

impl Process {
    /// Whether a commit of this partition is under way.
    pub(crate) fn commits(&self, partition: PartitionId) -> bool {
        self.commit.as_ref().is_some_and(|commit| commit.names(partition))
    }

    pub(crate) fn is_ending(&self, transaction: TransactionId) -> bool {
        self.commit.as_ref().is_some_and(|commit| commit.transaction == transaction)
    }

    pub(crate) fn commit_asked_at(&self) -> Option<Time> {
        self.commit.as_ref().map(|commit| commit.asked_at)
    }

    fn commit_of(
        &self,
        world: &World,
        transaction: TransactionId,
        offsets: Vec<PartitionCommit>,
        lost: Vec<EventsLost>,
    ) -> Commit {
        let (member, generation, asked_at) = (self.member, self.generation, world.now);
        Commit { transaction, offsets, lost, member, generation, asked_at }
    }

    pub(crate) fn stage(&mut self, world: &mut World, output: Outcome) -> Checked {
        ensure(self.commit.is_none(), "protocol", || format!("{:?} is staged during a commit", output.ticket))?;
        self.custody.staged(&output)?;
        see_overflow(world, &output);
        let Some(done) = world.truth.done_by_name(&output) else {
            return ensure(false, "I9", || format!("{:?} has handlers done that its route has not", output.ticket));
        };
        match world.profile.mode {
            Mode::Transactional => {
                let (producer, clock) = ((self.slot, self.producer_epoch), self.clock);
                if world.broker.produce(producer, world.now, &output, done, |due| clock.on_wall_clock(due)).is_err() {
                    self.after_latency(world, Input::Fenced);
                }
            }
            Mode::AtLeastOnce => {
                let clock = self.clock;
                let appended = world.broker.produce_outside_transactions(&output, done, |due| clock.on_wall_clock(due));
                if let Some((partition, offset)) = appended {
                    let message = world.broker.message(partition, offset).expect("just appended").clone();
                    world.truth.visible(partition, offset, &message);
                }
                world.truth.outcome(&output, &world.services)?;
            }
        }
        self.staged.push(output);
        Ok(())
    }

    pub(crate) fn begin_commit(
        &mut self,
        world: &mut World,
        transaction: TransactionId,
        offsets: Vec<PartitionCommit>,
        lost: Vec<EventsLost>,
    ) -> Checked {
        ensure(self.commit.is_none(), "protocol", || "a commit is asked for during another".into())?;
        for commit in &offsets {
            map_keeps_its_bounds(commit, &world.profile.settings)?;
            let current = self.custody.is_current(commit.partition, commit.epoch);
            ensure(current, "I4", || format!("partition {} is committed under an old epoch", commit.partition.0))?;
        }
        for output in &self.staged {
            let current = self.custody.is_current(output.ticket.partition, output.ticket.epoch);
            ensure(current, "I4", || format!("{:?} is committed under an old epoch", output.ticket))?;
        }
        self.commit = Some(self.commit_of(world, transaction, offsets, lost));
        self.after_latency(world, Input::SendOffsets(transaction));
        Ok(())
    }

    pub(crate) fn abort(&mut self, world: &mut World, transaction: TransactionId) -> Checked {
        ensure(self.commit.is_none(), "protocol", || "an abort is asked for during a commit".into())?;
        self.commit = Some(self.commit_of(world, transaction, Vec::new(), Vec::new()));
        if self.aborts_in_vain(world, transaction) {
            return Ok(());
        }
        self.give_up_transaction(world, transaction);
        Ok(())
    }

    /// `TxnOffsetCommit`, or the plain offset commit at-least-once.
    pub(crate) fn send_offsets(&mut self, world: &mut World, transaction: TransactionId) -> Checked {
        if !self.is_ending(transaction) {
            return Ok(());
        }
        let at_least_once = world.profile.mode == Mode::AtLeastOnce;
        if at_least_once && !self.ledger_takes(world, transaction, Input::SendOffsets(transaction)) {
            return Ok(());
        }
        let Some(commit) = &self.commit else { return Ok(()) };
        let aborted = std::mem::take(&mut self.aborts_ahead);
        self.aborts_ahead = aborted.saturating_sub(1);
        let accepted = world.coordinator.accepts(commit.member, commit.generation);
        if !accepted {
            world.sighted("a commit of an old generation was refused");
        }
        if aborted > 0 || !accepted {
            self.give_up_transaction(world, transaction);
            return Ok(());
        }
        let takes = |commit: &PartitionCommit| world.broker.takes_metadata(&commit.metadata);
        let (offsets, refused): (Vec<_>, Vec<_>) = commit.offsets.iter().cloned().partition(takes);
        if !refused.is_empty() {
            world.sighted("metadata was refused");
            world.note(|| format!("p{} refused   {refused:?}", self.id));
            world.schedule(world.now, Event::Fail { slot: self.slot, process: self.id });
        }
        if world.profile.mode == Mode::AtLeastOnce {
            commit.lost.iter().try_for_each(|lost| world.truth.lost(lost))?;
            see_overwritten(world, &offsets);
            world.broker.commit_offsets(&offsets);
            offsets.iter().try_for_each(|commit| world.truth.position(commit, map_identity, &world.broker))?;
            if !refused.is_empty() {
                // What else was in the request is committed, as Kafka does it; nobody is left to hear of it.
                return Ok(());
            }
            let answer_lost = self.answer_is_lost();
            let answer = Input::Ended { transaction, committed: true };
            self.after_latency(world, if answer_lost { Input::Resolve(transaction) } else { answer });
            return Ok(());
        }
        if !refused.is_empty() {
            return Ok(());
        }
        match world.broker.send_offsets(self.slot, self.producer_epoch, world.now, &offsets) {
            Ok(()) => self.after_latency(world, Input::EndTransaction(transaction)),
            Err(_) => self.after_latency(world, Input::Fenced),
        }
        Ok(())
    }

    pub(crate) fn end_transaction(&mut self, world: &mut World, transaction: TransactionId) -> Checked {
        if !self.is_ending(transaction) {
            return Ok(());
        }
        if !self.ledger_takes(world, transaction, Input::EndTransaction(transaction)) {
            return Ok(());
        }
        let answer_lost = self.answer_is_lost();
        if answer_lost && world.random.chance(50) {
            // The request was lost, not the answer.
            self.after_latency(world, Input::Resolve(transaction));
            return Ok(());
        }
        if let Some(commit) = &self.commit {
            see_overwritten(world, &commit.offsets);
        }
        let Ok(committed) = world.broker.commit(self.slot, self.producer_epoch, world.now) else {
            self.after_latency(world, Input::Fenced);
            return Ok(());
        };
        world.note(|| format!("p{} committed {}", self.id, transaction.0));
        self.commit.iter().flat_map(|commit| &commit.lost).try_for_each(|lost| world.truth.lost(lost))?;
        world.truth.transaction(&committed, map_identity, &world.broker, &world.services)?;
        let answer = Input::Ended { transaction, committed: true };
        self.after_latency(world, if answer_lost { Input::Resolve(transaction) } else { answer });
        Ok(())
    }

    /// Of unknown outcome: fence whatever is under way, then read back what is committed.
    pub(crate) fn resolve(&mut self, world: &mut World, transaction: TransactionId) {
        let Some(commit) = self.commit.as_ref().filter(|commit| commit.transaction == transaction) else { return };
        self.producer_epoch = world.broker.init_producer(self.slot);
        let committed = commit.offsets.iter().any(|offset| {
            let found = world.broker.last_committed(offset.partition);
            found.position == offset.position && found.metadata == offset.metadata
        });
        world.sighted(match committed {
            true => "a commit of unknown outcome had happened",
            false => "a commit of unknown outcome had not happened",
        });
        world.note(|| format!("p{} resolved  {} as committed: {committed}", self.id, transaction.0));
        self.transaction_ended(world, transaction, committed);
    }

    pub(crate) fn transaction_ended(&mut self, world: &mut World, transaction: TransactionId, committed: bool) {
        if !self.is_ending(transaction) {
            return;
        }
        self.commit = None;
        let staged = std::mem::take(&mut self.staged);
        world.note(|| format!("p{} ended     {} committed: {committed}", self.id, transaction.0));
        let result = if committed {
            self.custody.committed(&staged);
            CommitResult::Committed
        } else {
            CommitResult::Aborted(staged)
        };
        self.engine.transaction_ended(self.clock.engine(world.now), transaction, result);
    }

    /// A fenced producer is discarded with the epochs that it served, and rebuilt. In which order the engine hears of it
    /// must not matter.
    pub(crate) fn rebuild_producer(&mut self, world: &mut World) -> Checked {
        world.note(|| format!("p{} fenced", self.id));
        if world.broker.timed_out(self.slot) {
            world.sighted("a producer was fenced by its time-out");
        }
        self.producer_epoch = world.broker.init_producer(self.slot);
        let lost_first = world.random.chance(50);
        let again: Vec<_> = self.held.iter().filter(|(_, held)| held.revoked_at.is_none()).map(|(id, _)| *id).collect();
        let given_up: Vec<_> = self.held.keys().copied().filter(|id| !again.contains(id)).collect();
        if lost_first {
            self.lose_everything(world);
        }
        if let Some(commit) = &self.commit {
            self.transaction_ended(world, commit.transaction, false);
        }
        if !lost_first {
            self.lose_everything(world);
        }
        given_up.into_iter().for_each(|partition| world.coordinator.released(self.member, partition));
        for partition in again {
            self.expected.insert(partition);
            self.after_latency(world, Input::FetchOffsets(partition));
        }
        Ok(())
    }

    fn give_up_transaction(&mut self, world: &mut World, transaction: TransactionId) {
        let fenced = world.profile.mode == Mode::Transactional
            && world.broker.abort_open(self.slot, self.producer_epoch).is_err();
        let ended = Input::Ended { transaction, committed: false };
        self.after_latency(world, if fenced { Input::Fenced } else { ended });
    }

    fn answer_is_lost(&mut self) -> bool {
        let lost = self.lost_answers_ahead > 0;
        self.lost_answers_ahead = self.lost_answers_ahead.saturating_sub(1);
        lost
    }

    fn after_latency(&self, world: &mut World, input: Input) {
        let delay = world.random.millis(0, 6);
        self.later(world, delay, input);
    }
}
