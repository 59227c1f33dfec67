//! The replica's seat in its group: its consumer, and another one when librdkafka's is of no use any more.
//!
//! A static member whose `group.instance.id` joins a second time is fenced (`FENCED_INSTANCE_ID`), on whichever answer comes
//! next, and its client can do nothing from then on. It is not told by whom:
//!
//! | who has the instance id now | what helps |
//! |---|---|
//! | nobody: an earlier join, of this replica or of the process before it, was given up and served late | to join again |
//! | another live replica | a slot of its own; both would turn each other out for ever |
//!
//! Brokers' logs of chaos show the first: librdkafka asks to join, hears nothing for the session's time-out (the coordinator
//! was away), and asks again as a new member; the coordinator serves both. Java's client does the same (KAFKA-20983,
//! apache/kafka#23265). So the replica takes a new consumer, once within [`CONFLICT_WITHIN`]; the second time it is a conflict,
//! and it ends. One that [yields](super::Config::yields) ends the first time. What it had is lost to it as in any other loss of
//! its assignment, and whatever was decided under the old member is committed under the old member or not at all
//! ([`Generation`]).
//!
//! **A member that was forgotten without being told.** A replica that hangs in the middle of a rebalance is removed from the group
//! by its coordinator, and others handle what it had. When it goes on and asks to join, it is told that it is unknown; librdkafka
//! (2.12.1, `rd_kafka_cgrp_handle_JoinGroup`) then joins as a new member *and keeps its assignment*, unlike after every other
//! such answer: a static member goes on with what was taken from it, and the group takes its commits. Seen in chaos. So
//! partitions belong to the member id under which they were given: under another one nothing is committed, all of them are lost,
//! and the replica takes a new consumer, which has nothing until it is given something.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coafi_group_member::member_id;
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::RDKafkaErrorCode;
use tracing::{info, warn};

use super::context::GroupConsumer;
use super::driver::Driver;
use super::rebalance::Round;
use super::replica;
use super::{Application, DriverError};

/// Fenced twice within this, the id has another live owner, which has been fenced in between.
const CONFLICT_WITHIN: Duration = Duration::from_secs(60);

/// The consumer that there is now, for threads that ask brokers about its group.
#[derive(Clone)]
pub(super) struct Seat(Arc<RwLock<Arc<GroupConsumer>>>);

impl Seat {
    pub(super) fn new(consumer: Arc<GroupConsumer>) -> Self {
        Self(Arc::new(RwLock::new(consumer)))
    }

    pub(super) fn consumer(&self) -> Arc<GroupConsumer> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, consumer: Arc<GroupConsumer>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = consumer;
    }
}

/// Under which member and generation something is to be committed. A later consumer's commit would be taken by the group,
/// whatever its partitions are.
pub(super) struct Generation {
    pub(super) consumer: Arc<GroupConsumer>,
    pub(super) metadata: ConsumerGroupMetadata,
}

impl Generation {
    /// As of now; `None` while the assignment is lost, or where the consumer is not `member` any more. The broker takes a commit
    /// without a member id as long as the group is active (tried). Ids are given once: if it is still this one after the metadata
    /// was taken, it was so before.
    pub(super) fn of(consumer: &Arc<GroupConsumer>, member: Option<&str>) -> Option<Self> {
        let metadata = consumer.group_metadata()?;
        let is_same = member.is_some() && member_id(consumer).as_deref() == member;
        (is_same && !consumer.assignment_lost()).then(|| Self { consumer: Arc::clone(consumer), metadata })
    }
}

impl<A: Application> Driver<A> {
    /// Whether the group has another member in us than the one that it gave partitions to, and has not said that they are lost.
    pub(super) fn is_forgotten(&self) -> bool {
        // In this order: an assignment is marked as lost before the member id is.
        self.has_partitions() && member_id(&self.consumer) != self.state.member && !self.consumer.assignment_lost()
    }

    /// Before the group gets the answer to an assignment, until which it cannot rebalance again: what is given now is this
    /// member's. True if what there is already was another one's.
    pub(super) fn is_given_to_another(&mut self) -> bool {
        if self.has_partitions() {
            return self.is_forgotten();
        }
        self.state.member = member_id(&self.consumer);
        false
    }

    fn has_partitions(&self) -> bool {
        !self.state.unplaced.is_empty() || self.partitions.iter().any(|partition| partition.owned.is_some())
    }

    pub(super) fn forgotten(&self) -> DriverError {
        DriverError::Forgotten { group: self.config.group.clone() }
    }

    /// After an error that ended a turn: joins the group anew if that is what helps.
    ///
    /// # Errors
    /// The error, if it does not.
    pub(super) fn or_join_with_another_consumer(&mut self, error: DriverError) -> Result<(), DriverError> {
        if matches!(error, DriverError::Forgotten { .. }) {
            return self.begin_anew(&error);
        }
        // Another thread's failure is not mended by it.
        let own = matches!(
            error,
            DriverError::Consumer { .. } | DriverError::Rebalance { .. } | DriverError::Subscribe { .. }
        );
        let fatal =
            self.consumer.client().fatal_error().filter(|(code, _)| *code == RDKafkaErrorCode::FencedInstanceId);
        let (Some((_, message)), Some(id), true) = (fatal, self.config.instance_id.clone(), own) else {
            return Err(error);
        };
        if self.state.shutdown_deadline.is_some() {
            // What was to be drained is handled by whoever has it now.
            self.forget_all();
            return Ok(());
        }
        let now = self.clock.now();
        let before = self.state.fenced_at.replace(now);
        if self.config.yields || before.is_some_and(|before| now - before < CONFLICT_WITHIN) {
            return Err(DriverError::InstanceConflict { id, message });
        }
        warn!(group = self.config.group, "{id} was fenced by another join, joining with a new consumer: {message}");
        self.forget_all();
        self.change_consumer()?;
        self.subscribe()
    }

    /// Nothing of what there is is ours.
    fn begin_anew(&mut self, error: &DriverError) -> Result<(), DriverError> {
        warn!("{error}");
        if let Some(Round::Revoking { all, .. }) = self.state.round.take() {
            // The former consumer is closed once it has its answer.
            self.unassign(&all)?;
        }
        self.forget_all();
        if self.state.shutdown_deadline.is_some() {
            return Ok(());
        }
        self.change_consumer()?;
        self.subscribe()
    }

    fn forget_all(&mut self) {
        let all: Vec<usize> = (0..self.partitions.len()).collect();
        self.forget(&all);
        self.partitions.iter_mut().for_each(|partition| partition.assigned = false);
        let state = &mut self.state;
        (state.round, state.relocate, state.held, state.full_since) = (None, false, false, None);
        state.member = None;
        state.rebalances.clear();
        state.unplaced.clear();
        self.status.update(|status| status.member = false);
    }

    fn change_consumer(&mut self) -> Result<(), DriverError> {
        self.seat_number += 1;
        let number = self.seat_number;
        let next = replica::consumer(&self.config, number, &self.status, &self.answers, &self.awake)?;
        self.seat.replace(Arc::clone(&next));
        let former = std::mem::replace(&mut self.consumer, next);
        former.context().close();
        let group = self.config.group.clone();
        // Closing it takes as long as its brokers do.
        let close = move || {
            drop(former);
            info!(group, "the former consumer is closed");
        };
        let name = "coafi-former";
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(close);
        started.map(drop).map_err(|source| DriverError::Thread { name, source })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::topic_partition_list::TopicPartitionList;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::Config;
    use crate::kafka::context::{GroupContext, Reporter};
    use crate::kafka::inbox::Rebalance;
    use crate::kafka::status::StatusCell;

    const POLL: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A member that answers what the group asks, at once.
    struct Member {
        consumer: Arc<GroupConsumer>,
        rebalances: Receiver<Rebalance>,
    }

    impl Member {
        fn new(config: &Config) -> Self {
            let reporter = Reporter { client: "group", status: Arc::new(StatusCell::default()) };
            let (told, rebalances) = channel();
            let context = GroupContext::new(reporter, move |rebalance| drop(told.send(rebalance)));
            Self { consumer: Arc::new(config.consumer().unwrap().create_with_context(context).unwrap()), rebalances }
        }

        fn until(&self, what: &str, holds: impl Fn() -> bool) {
            let started = Instant::now();
            while !holds() {
                assert!(started.elapsed() < PATIENCE, "{what}");
                // Errors of the group are what this is about.
                let _ = self.consumer.poll(POLL);
                for rebalance in self.rebalances.try_iter() {
                    let nothing = TopicPartitionList::new();
                    match rebalance {
                        Rebalance::Assign(_) => self.consumer.incremental_assign(&nothing).unwrap(),
                        Rebalance::Revoke(_) | Rebalance::Lost(_) => {
                            self.consumer.incremental_unassign(&nothing).unwrap()
                        }
                    }
                }
            }
        }
    }

    impl Drop for Member {
        fn drop(&mut self) {
            self.consumer.context().close();
        }
    }

    /// What librdkafka does not say: it joined as another member, and keeps what it had.
    #[test]
    fn a_member_that_the_group_has_forgotten_commits_nothing_though_its_client_lost_nothing() {
        let cluster = MockCluster::new(1).unwrap();
        ["t", "u"].iter().for_each(|topic| cluster.create_topic(topic, 1, 1).unwrap());
        let mut config = Config::new(&cluster.bootstrap_servers(), "g", "0", &["t"]);
        config.instance_id = Some("g/0".to_owned());
        let member = Member::new(&config);
        let consumer = &member.consumer;
        consumer.subscribe(&["t"]).unwrap();
        member.until("it joins", || member_id(consumer).is_some());
        let id = member_id(consumer).unwrap();
        member.until("it may commit", || Generation::of(consumer, Some(&id)).is_some());
        assert!(Generation::of(consumer, Some("another")).is_none());
        assert!(Generation::of(consumer, None).is_none());

        // In the next round it is told that it is unknown.
        let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &[unknown]);
        consumer.subscribe(&["t", "u"]).unwrap();
        member.until("it joins again", || member_id(consumer).is_some_and(|now| now != id));
        assert!(!consumer.assignment_lost(), "librdkafka says so now; is this still needed?");
        assert!(Generation::of(consumer, Some(&id)).is_none());
    }
}
