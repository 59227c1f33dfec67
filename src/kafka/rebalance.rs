//! Assignments, revocations and losses, one at a time.
//!
//! | the group says | what follows |
//! |---|---|
//! | assign | the answer, at once; then committed offsets, ends and the database's claim are looked up off this thread, the engine learns of the partitions, and `incremental_assign` starts them at exact offsets (see `placing`) |
//! | revoke | the engine drains; polling goes on for the others; when all are released, one `incremental_unassign` answers |
//! | lost | the engine drops everything of them; `incremental_unassign` at once |
//!
//! librdkafka holds back the next rebalance until the one in hand is answered, and takes the first answer for the whole of
//! it: so an answer is given once, for all of its partitions.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tracing::{debug, info, warn};

use super::driver::Driver;
use super::inbox::{Input, Rebalance};
use super::lookup::{Located, Question, list_of};
use super::partitions::{Lease, Owned};
use super::writer::Command;
use super::{Application, DriverError};
use crate::engine::{Assignment, PartitionId};
use crate::event::{NextOffset, TopicPartition};

/// The rebalance in hand.
pub(super) enum Round {
    /// Waits until the engine has released all of `waiting`.
    Revoking { all: Vec<usize>, waiting: BTreeSet<PartitionId> },
    /// Where `State::unplaced` begin is being looked up. No answer to the group is due.
    Placing { asked: Asked },
    /// The positions that there are now are being looked up; `polled` are those of the asking. No answer to the group is due.
    Relocating { asked: Asked, polled: BTreeMap<PartitionId, NextOffset> },
}

/// A question of where partitions begin. A rebalance that comes meanwhile drops it.
pub(super) struct Asked {
    token: u64,
    /// Nothing may be committed on its behalf by the time somebody else may have a partition.
    _lease: Lease,
}

impl<A: Application> Driver<A> {
    /// Takes up the next rebalance when the one in hand is done. A loss does not wait.
    pub(super) fn serve_rebalances(&mut self) -> Result<(), DriverError> {
        if matches!(self.state.round, Some(Round::Revoking { .. })) && self.consumer.assignment_lost() {
            self.lost_while_draining()?;
        }
        while let Some(next) = self.state.rebalances.front() {
            let in_hand = match (&self.state.round, next) {
                (None | Some(Round::Relocating { .. } | Round::Placing { .. }), _) | (_, Rebalance::Lost(_)) => false,
                (Some(_), Rebalance::Assign(_) | Rebalance::Revoke(_)) => true,
            };
            if in_hand {
                break;
            }
            let next = self.state.rebalances.pop_front().expect("just seen");
            // An assignment comes from a broker. It is lost by the client's own clock.
            if matches!(next, Rebalance::Assign(_)) {
                self.status.brokers_answer();
            }
            self.status.update(|status| {
                status.member = !matches!(next, Rebalance::Lost(_));
                status.settling = true;
                status.rebalances += 1;
            });
            if matches!(self.state.round.take(), Some(Round::Relocating { .. })) {
                // Its answer would be about another assignment: asked again when this is done.
                self.state.relocate = true;
            }
            match next {
                Rebalance::Assign(partitions) => {
                    let forgotten = self.is_given_to_another();
                    self.assign(&partitions)?;
                    if forgotten {
                        return Err(self.forgotten());
                    }
                }
                Rebalance::Revoke(partitions) if self.is_forgotten() => {
                    self.lose(&partitions)?;
                    return Err(self.forgotten());
                }
                Rebalance::Revoke(partitions) => self.revoke(&partitions)?,
                Rebalance::Lost(partitions) => self.lose(&partitions)?,
            }
        }
        Ok(())
    }

    /// The group gets its answer before anything is looked up: it cannot rebalance again until all members have answered, and
    /// a committed offset may have to wait for somebody's open transaction.
    fn assign(&mut self, partitions: &[(String, i32)]) -> Result<(), DriverError> {
        self.consumer
            .incremental_assign(&TopicPartitionList::new())
            .map_err(|error| self.rebalance_error(&error.to_string()))?;
        if self.state.shutdown_deadline.is_none() {
            // Whoever leaves takes nothing new: others get the partitions when this member is gone.
            let indices: Vec<usize> = partitions.iter().map(|(topic, number)| self.number(topic, *number)).collect();
            self.state.unplaced.extend(indices);
        }
        self.publish_status();
        Ok(())
    }

    pub(super) fn ask_where(&mut self, partitions: Vec<TopicPartition>) -> Asked {
        self.state.tokens += 1;
        let (token, lease) = (self.state.tokens, Lease::default());
        // If the thread is gone it has said why, and the replica ends in this turn.
        let _ = self.writer.send(Command::Ask(Question::Locate { token, partitions, live: lease.live() }));
        Asked { token, _lease: lease }
    }

    /// The partition's number. The writer learns of a new one before anything else about it.
    pub(super) fn number(&mut self, topic: &str, partition: i32) -> usize {
        let (index, new) = self.partitions.intern(topic, partition);
        if new {
            let partition = self.partitions.at(index);
            // If the thread is gone it has said why, and the replica ends in this turn.
            let _ = self.writer.send(Command::Name(partition.id, partition.source.clone()));
        }
        index
    }

    /// The answer to [`Driver::ask_where`].
    pub(super) fn located(&mut self, token: u64, partitions: Vec<Located>) -> Result<(), DriverError> {
        match self.state.round.take() {
            Some(Round::Placing { asked }) if asked.token == token => self.placed(partitions),
            Some(Round::Relocating { asked, polled }) if asked.token == token => {
                // What there was no answer for is asked for again.
                self.state.relocate |= partitions.len() < polled.len();
                self.relocated(partitions, &polled)
            }
            // Lost or revoked meanwhile.
            other => {
                self.state.round = other;
                Ok(())
            }
        }
    }

    pub(super) fn start(&mut self, partitions: Vec<Located>) -> Result<(), DriverError> {
        if self.state.shutdown_deadline.is_some() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for located in &partitions {
            // What retention took away is the engine's business; reading starts at what is there.
            let from = located.position.max(located.log_start);
            list.add_partition_offset(&located.source.topic, located.source.partition, KafkaOffset::Offset(from.0))
                .map_err(|error| self.rebalance_error(&error.to_string()))?;
        }
        self.consumer.incremental_assign(&list).map_err(|error| self.rebalance_error(&error.to_string()))?;
        if self.state.held {
            self.set_paused(&list, true);
        }
        info!(group = self.config.group, partitions = partitions.len(), "assigned");
        let now = self.clock.now();
        for located in partitions {
            let index = self.number(&located.source.topic, located.source.partition);
            let partition = self.partitions.at(index);
            let assignment = Assignment {
                partition: partition.id,
                position: located.position,
                metadata: &located.metadata,
                identity: located.identity,
                claim: located.fence.as_ref().map(|fence| fence.epoch),
                log_start: located.log_start,
                continue_after_loss: self.config.continue_after_loss.contains(&*located.source.topic),
                deduplicated: !self.config.not_deduplicated.contains(&*located.source.topic),
            };
            let epoch = self.engine.assigned(now, &assignment);
            partition.assigned = true;
            let mut owned = Owned::new(epoch, located.position, located.fence);
            owned.end = Some(located.end);
            partition.owned = Some(owned);
        }
        self.publish_status();
        Ok(())
    }

    fn revoke(&mut self, partitions: &[(String, i32)]) -> Result<(), DriverError> {
        let (mut all, mut waiting) = (Vec::new(), BTreeSet::new());
        for (topic, partition) in partitions {
            let index = self.number(topic, *partition);
            all.push(index);
            self.state.unplaced.remove(&index);
            let partition = self.partitions.at(index);
            if let Some(owned) = &mut partition.owned {
                owned.draining = true;
                waiting.insert(partition.id);
            }
        }
        info!(group = self.config.group, partitions = all.len(), "revoked, draining");
        self.set_paused(&self.list(&all), true);
        let ids: Vec<PartitionId> = waiting.iter().copied().collect();
        self.state.round = Some(Round::Revoking { all, waiting });
        if ids.is_empty() {
            return self.answer_if_released();
        }
        self.engine.revoked(self.clock.now(), &ids);
        Ok(())
    }

    /// `Effect::Release`: drained and committed.
    pub(super) fn release(&mut self, partitions: &[PartitionId]) -> Result<(), DriverError> {
        let mut unasked = Vec::new();
        for &id in partitions {
            if self.state.shutdown_deadline.is_some() {
                let left = self.partition_status(self.partitions.get(id));
                self.state.left.extend(left);
            }
            self.partitions.by_id(id).owned = None;
            let asked = match &mut self.state.round {
                Some(Round::Revoking { waiting, .. }) => waiting.remove(&id),
                _ => false,
            };
            if !asked {
                // A shutdown gives up what nobody has asked for.
                unasked.push(id.0 as usize);
            }
        }
        if !unasked.is_empty() {
            self.unassign(&unasked)?;
        }
        self.answer_if_released()
    }

    fn answer_if_released(&mut self) -> Result<(), DriverError> {
        match &self.state.round {
            Some(Round::Revoking { all, waiting }) if waiting.is_empty() => {
                let all = all.clone();
                self.state.round = None;
                self.unassign(&all)?;
                info!(group = self.config.group, partitions = all.len(), "released");
                self.publish_status();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lose(&mut self, partitions: &[(String, i32)]) -> Result<(), DriverError> {
        let indices: Vec<usize> = partitions.iter().map(|(topic, partition)| self.number(topic, *partition)).collect();
        self.drop_lost(&indices)
    }

    /// The session ended while revoked partitions drained: librdkafka sends no second event for them.
    fn lost_while_draining(&mut self) -> Result<(), DriverError> {
        let Some(Round::Revoking { all, .. }) = self.state.round.take() else { return Ok(()) };
        self.drop_lost(&all)
    }

    pub(super) fn drop_lost(&mut self, indices: &[usize]) -> Result<(), DriverError> {
        warn!(group = self.config.group, partitions = indices.len(), "assignment lost");
        self.forget(indices);
        self.unassign(indices)?;
        self.publish_status();
        Ok(())
    }

    /// Ends these ownerships, whatever of them is under way.
    pub(super) fn forget(&mut self, indices: &[usize]) {
        let ids: Vec<PartitionId> = indices
            .iter()
            .filter_map(|&index| {
                let partition = self.partitions.at(index);
                partition.batch.clear();
                self.state.unplaced.remove(&index);
                partition.owned.take().map(|_| partition.id)
            })
            .collect();
        self.engine.lost(self.clock.now(), &ids);
    }

    /// Gives up what of these librdkafka has. It takes an empty list as an answer to the group, but none that names a
    /// partition which was given up before: by a shutdown, say, that the group's revocation came after.
    pub(super) fn unassign(&mut self, indices: &[usize]) -> Result<(), DriverError> {
        let list = self.take_assigned(indices);
        // A pause outlives the assignment inside librdkafka.
        self.set_paused(&list, false);
        self.consumer.incremental_unassign(&list).map_err(|error| self.rebalance_error(&error.to_string()))
    }

    /// At the end: librdkafka's `close` waits for whatever answer the group is still owed, and nobody else will give it.
    pub(super) fn answer_all(&mut self) {
        self.consumer.context().close();
        while let Ok(input) = self.inbox.try_recv() {
            if let Input::Rebalance { rebalance, .. } = input {
                self.state.rebalances.push_back(rebalance);
            }
        }
        let mut answers = Vec::new();
        match self.state.round.take() {
            Some(Round::Revoking { all, .. }) => answers.push(Some(self.take_assigned(&all))),
            Some(Round::Relocating { .. } | Round::Placing { .. }) | None => {}
        }
        for rebalance in std::mem::take(&mut self.state.rebalances) {
            answers.push(match rebalance {
                Rebalance::Assign(_) => None,
                Rebalance::Revoke(partitions) | Rebalance::Lost(partitions) => {
                    let indices: Vec<usize> =
                        partitions.iter().map(|(topic, partition)| self.number(topic, *partition)).collect();
                    Some(self.take_assigned(&indices))
                }
            });
        }
        for answer in answers {
            let given = match answer {
                Some(list) => self.consumer.incremental_unassign(&list),
                None => self.consumer.incremental_assign(&TopicPartitionList::new()),
            };
            if let Err(error) = given {
                // There is nothing left that could be given up.
                debug!(group = self.config.group, "answer to a rebalance at the end: {error}");
            }
        }
    }

    fn take_assigned(&mut self, indices: &[usize]) -> TopicPartitionList {
        let assigned = |index: &&usize| std::mem::take(&mut self.partitions.at(**index).assigned);
        let had: Vec<usize> = indices.iter().filter(assigned).copied().collect();
        self.list(&had)
    }

    pub(super) fn list(&self, indices: &[usize]) -> TopicPartitionList {
        let sources: Vec<_> = indices.iter().map(|&index| self.partitions.source(index).clone()).collect();
        list_of(&sources, KafkaOffset::Invalid)
    }

    pub(super) fn list_where(&self, wanted: impl Fn(&Owned) -> bool) -> TopicPartitionList {
        let sources: Vec<_> = self
            .partitions
            .iter()
            .filter(|partition| partition.owned.as_ref().is_some_and(&wanted))
            .map(|partition| partition.source.clone())
            .collect();
        list_of(&sources, KafkaOffset::Invalid)
    }

    pub(super) fn rebalance_error(&self, message: &str) -> DriverError {
        DriverError::Rebalance { group: self.config.group.clone(), message: message.to_owned() }
    }
}
