//! What can go wrong while topics are tailed.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;

use super::SOURCES_MAX;
use super::position::UnreadablePosition;
use crate::connectors::owned::OwnedError;
use crate::connectors::{AdmissionError, PublishError};
use crate::dispatch::Failure;
use crate::kafka::scan::ScanError;

/// Why a source does not go on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Position(#[from] UnreadablePosition),
    #[error(transparent)]
    Translate(#[from] Failure),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error(
        "offsets {from} to {to} of topic {topic}, partition {partition}, are gone before they were read: retention took them, or \
         the topic was made anew; set on_loss: continue to go on behind them"
    )]
    Lost { topic: String, partition: i32, from: i64, to: i64 },
}

impl TailError {
    /// Whether trying again later can help, without what is kept or configured being changed.
    pub(super) const fn may_pass(&self) -> bool {
        !matches!(self, Self::Position(_) | Self::Lost { .. } | Self::Publish(PublishError::Unreadable { .. }))
    }

    /// Somebody else has the source now.
    pub(super) const fn is_fenced(&self) -> bool {
        matches!(self, Self::Publish(PublishError::Fenced { .. }))
    }
}

/// Why a connector ends.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("{0} sources are configured; allowed: 1 to {SOURCES_MAX}")]
    Sources(usize),
    #[error("topic {0:?} does not exist; `coafi topics apply` makes it")]
    NoTopic(String),
    #[error("the group that shares out sources: {0}")]
    Kafka(#[from] KafkaError),
    #[error("{}", .0.iter().map(|(source, error)| format!("{source}: {error}")).collect::<Vec<_>>().join("; "))]
    Failed(BTreeMap<String, TailError>),
}

impl From<OwnedError> for ConnectorError {
    fn from(error: OwnedError) -> Self {
        match error {
            OwnedError::NoTopic(topic) => Self::NoTopic(topic),
            OwnedError::Kafka(error) => Self::Kafka(error),
        }
    }
}
