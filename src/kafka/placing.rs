//! Where partitions begin: those that the group has given, and those that begin anew because another member has overtaken
//! their claim, the producer was replaced, or their position is gone.
//!
//! The group waits for none of it. A rebalance that comes meanwhile goes first; what it leaves is taken up afterwards.

use std::collections::BTreeMap;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tracing::warn;

use super::driver::Driver;
use super::lookup::Located;
use super::rebalance::Round;
use super::{Application, DriverError};
use crate::engine::PartitionId;
use crate::event::NextOffset;

impl<A: Application> Driver<A> {
    /// Has looked up where partitions begin, when no rebalance is in hand.
    pub(super) fn place(&mut self) {
        self.give_up_fenced();
        if self.state.round.is_some() || self.state.shutdown_deadline.is_some() {
            return;
        }
        // Positions first: they come to an end, and a committed offset may be waited for for long.
        if std::mem::take(&mut self.state.relocate) {
            let owned = self.partitions.iter().filter_map(|partition| {
                let owned = partition.owned.as_ref().filter(|owned| !owned.draining)?;
                Some((partition.source.clone(), (partition.id, owned.polled)))
            });
            let (sources, polled) = owned.unzip();
            let asked = self.ask_where(sources);
            self.state.round = Some(Round::Relocating { asked, polled });
        } else if !self.state.unplaced.is_empty() {
            let sources = self.state.unplaced.iter().map(|&index| self.partitions.source(index).clone()).collect();
            let asked = self.ask_where(sources);
            self.state.round = Some(Round::Placing { asked });
        }
    }

    /// Gives up what the database refused ([`Attempt::Fenced`](crate::engine::Attempt::Fenced)), to claim it anew. If the
    /// group has taken the partition away in truth, the next poll says so.
    fn give_up_fenced(&mut self) {
        let mut indices = Vec::new();
        for (id, epoch) in std::mem::take(&mut self.state.fenced) {
            let current = self.partitions.current(id, epoch).and_then(|partition| partition.owned.as_ref());
            if current.is_some_and(|owned| !owned.draining) {
                indices.push(id.0 as usize);
            }
        }
        if indices.is_empty() {
            return;
        }
        let (group, partitions) = (&self.config.group, indices.len());
        warn!(group, partitions, "another member has claimed them; claiming again");
        self.give_up(indices);
    }

    /// What was decided under a producer that is gone is decided anew, from what is committed: here, or, of what drains, by
    /// its next owner.
    pub(super) fn give_up_all(&mut self) -> Result<(), DriverError> {
        let owned = self.partitions.iter().filter_map(|partition| Some((partition.id, partition.owned.as_ref()?)));
        let (leaving, staying): (Vec<_>, Vec<_>) = owned.partition(|(_, owned)| owned.draining);
        let leaving: Vec<PartitionId> = leaving.into_iter().map(|(id, _)| id).collect();
        let staying = staying.into_iter().map(|(id, _)| id.0 as usize).collect();
        self.give_up(staying);
        self.engine.lost(self.clock.now(), &leaving);
        self.release(&leaving)
    }

    /// Ends these ownerships; [`Driver::place`] begins new ones.
    fn give_up(&mut self, indices: Vec<usize>) {
        // Still assigned for librdkafka, so that a revocation that comes meanwhile finds them.
        self.set_paused(&self.list(&indices), true);
        self.forget(&indices);
        self.state.unplaced.extend(indices);
    }

    /// The answer to [`Round::Placing`]: about what was asked for, or the part of it whose committed offset is known. The
    /// rest is asked for again, with what has come since then.
    pub(super) fn placed(&mut self, mut partitions: Vec<Located>) -> Result<(), DriverError> {
        let mut indices = Vec::with_capacity(partitions.len());
        partitions.retain(|located| {
            let index = self.number(&located.source.topic, located.source.partition);
            let wanted = self.state.unplaced.remove(&index);
            if wanted {
                indices.push(index);
            }
            wanted
        });
        if partitions.is_empty() {
            return Ok(());
        }
        if indices.iter().any(|&index| self.partitions.at(index).assigned) {
            self.unassign(&indices)?;
        }
        self.start(partitions)
    }

    /// The answer to [`Round::Relocating`]: those whose position retention has passed, or that a truncated log has taken
    /// back, begin a new epoch. The others are fetched from where they were, because librdkafka stops fetching the one that
    /// it had an error for, and does not say which one that was.
    /// `polled`: positions when it was asked.
    pub(super) fn relocated(
        &mut self,
        partitions: Vec<Located>,
        polled: &BTreeMap<PartitionId, NextOffset>,
    ) -> Result<(), DriverError> {
        let (mut gone, mut start) = (Vec::new(), Vec::new());
        let mut sound = Vec::new();
        for located in partitions {
            let index = self.number(&located.source.topic, located.source.partition);
            let partition = self.partitions.at(index);
            let Some(owned) = partition.owned.as_ref().filter(|owned| !owned.draining) else { continue };
            let truncated = polled.get(&partition.id).is_some_and(|polled| *polled > located.end);
            if owned.polled < located.log_start || truncated {
                gone.push(index);
                start.push(located);
            } else {
                sound.push(index);
            }
        }
        self.refetch(&sound)?;
        if gone.is_empty() {
            return Ok(());
        }
        self.drop_lost(&gone)?;
        self.start(start)
    }

    /// Has librdkafka fetch these again from where they are.
    fn refetch(&mut self, indices: &[usize]) -> Result<(), DriverError> {
        let mut list = TopicPartitionList::with_capacity(indices.len());
        let mut paused = Vec::new();
        for &index in indices {
            let held = self.state.held;
            let partition = self.partitions.at(index);
            let Some(owned) = &partition.owned else { continue };
            if held || owned.paused_by_engine {
                paused.push(index);
            }
            let (topic, number) = (&partition.source.topic, partition.source.partition);
            list.add_partition_offset(topic, number, KafkaOffset::Offset(owned.polled.0))
                .map_err(|error| self.rebalance_error(&error.to_string()))?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.unassign(indices)?;
        self.consumer.incremental_assign(&list).map_err(|error| self.rebalance_error(&error.to_string()))?;
        indices.iter().for_each(|&index| self.partitions.at(index).assigned = true);
        self.set_paused(&self.list(&paused), true);
        Ok(())
    }
}
