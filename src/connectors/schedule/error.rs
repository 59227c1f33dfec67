//! What can go wrong with schedules.

use rdkafka::error::KafkaError;

use crate::connectors::{AdmissionError, PublishError};
use crate::dispatch::Failure;
use crate::schedule::{Name, UnreadableStanding};

#[derive(Clone, Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error("topic {0:?} does not exist; `coafi topics apply` makes it")]
    NoTopic(String),
    #[error("the group that finds the leader of the schedules: {0}")]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("schedule {name}: {source}")]
    Standing { name: Name, source: UnreadableStanding },
    #[error(transparent)]
    Encode(#[from] Failure),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl ScheduleError {
    /// Whether trying again later can help, without what is kept being changed.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::Standing { .. } | Self::Publish(PublishError::Unreadable { .. }))
    }

    /// Somebody else leads now, or a person has just paused or resumed a schedule.
    pub(super) const fn is_fenced(&self) -> bool {
        matches!(self, Self::Publish(PublishError::Fenced { .. }))
    }
}
