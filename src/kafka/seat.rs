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
//! and it ends. What it had is lost to it as in any other loss of its assignment, and whatever was decided under the old member
//! is committed under the old member or not at all ([`Generation`]).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::RDKafkaErrorCode;
use tracing::{info, warn};

use super::context::GroupConsumer;
use super::driver::Driver;
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
    /// As of now; `None` while the assignment is lost. The broker takes a commit without a member id as long as the group is
    /// active (tried), and librdkafka forgets its member id when it marks the assignment as lost, on one thread: so if it is
    /// not lost after the metadata was taken, the metadata names a member.
    pub(super) fn of(consumer: &Arc<GroupConsumer>) -> Option<Self> {
        let metadata = consumer.group_metadata()?;
        (!consumer.assignment_lost()).then(|| Self { consumer: Arc::clone(consumer), metadata })
    }
}

impl<A: Application> Driver<A> {
    /// After an error that ended a turn: joins the group anew if that is what helps.
    ///
    /// # Errors
    /// The error, if it does not.
    pub(super) fn or_join_with_another_consumer(&mut self, error: DriverError) -> Result<(), DriverError> {
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
        if before.is_some_and(|before| now - before < CONFLICT_WITHIN) {
            return Err(DriverError::InstanceConflict { id, message });
        }
        warn!(group = self.config.group, "{id} was fenced by another join, joining with a new consumer: {message}");
        self.forget_all();
        self.change_consumer()?;
        self.subscribe()
    }

    fn forget_all(&mut self) {
        let all: Vec<usize> = (0..self.partitions.len()).collect();
        self.forget(&all);
        self.partitions.iter_mut().for_each(|partition| partition.assigned = false);
        let state = &mut self.state;
        (state.round, state.relocate, state.held, state.full_since) = (None, false, false, None);
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
