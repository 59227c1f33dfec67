//! Outcomes: what became of one event in one attempt.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Encodes, Place};
use crate::schema::{Payload, embedded};

/// `org.coafi.bitt.Outcome`: one record per event and attempt, in the same transaction as everything else that the attempt
/// produced (I2). It borrows what the record and the route already hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome<'a> {
    pub cluster_id: Cow<'a, str>,
    /// Kafka's id of the topic where the client can tell it, otherwise its name.
    pub topic_id: Cow<'a, str>,
    pub topic: Cow<'a, str>,
    pub partition: i32,
    pub offset: i64,
    /// New after an offset reset and in a replay; empty for the first run.
    pub run: Cow<'a, str>,
    /// From 1; 0 where no handler ran.
    pub attempt: i32,
    pub group: Cow<'a, str>,
    /// `None` where the record is not an event.
    #[serde(default)]
    pub event_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub event_type: Option<Cow<'a, str>>,
    /// CloudEvents `source`.
    #[serde(default)]
    pub source: Option<Cow<'a, str>>,
    #[serde(default)]
    pub utids: Vec<Cow<'a, str>>,
    #[serde(default)]
    pub correlation_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub causation_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub route: Option<Cow<'a, str>>,
    #[serde(default)]
    pub route_version: Option<Cow<'a, str>>,
    /// Handlers that ran in this attempt, in order.
    #[serde(default)]
    pub handlers: Vec<Cow<'a, str>>,
    pub outcome: OutcomeKind,
    /// [`crate::engine::Class::name`].
    #[serde(default)]
    pub error_class: Option<Cow<'a, str>>,
    #[serde(default)]
    pub error_code: Option<Cow<'a, str>>,
    #[serde(default)]
    pub error: Option<Cow<'a, str>>,
    #[serde(default)]
    pub steps: Vec<OutcomeStep<'a>>,
    /// The handlers' result, JSON.
    #[serde(default)]
    pub result: Option<Cow<'a, str>>,
    /// When the next attempt is due, where there is one.
    #[serde(default)]
    pub due_at: Option<i64>,
    /// Of a duplicate: the offset of the event that it repeats.
    #[serde(default)]
    pub first_seen_offset: Option<i64>,
    /// Of lost events: [`Self::offset`] is the first, this the position after the last.
    #[serde(default)]
    pub lost_to_offset: Option<i64>,
    pub worker_id: Cow<'a, str>,
    pub epoch: i64,
    /// When the first handler started.
    #[serde(default)]
    pub started_at: Option<i64>,
    pub ended_at: i64,
    /// Which redrive sent the record, from 1; 0 if it is as its source published it.
    #[serde(default)]
    pub redrive: i32,
    /// Of a record on a retry topic: where it stood before its first hop.
    #[serde(default)]
    pub origin: Option<Place<'a>>,
}

impl Outcome<'_> {
    /// Where the record stood before its first hop.
    #[must_use]
    pub fn first_place(&self) -> Place<'static> {
        match &self.origin {
            Some(origin) => Place { topic: origin.topic.to_string().into(), ..*origin },
            None => Place { topic: self.topic.to_string().into(), partition: self.partition, offset: self.offset },
        }
    }

    /// The record's id: the same whenever the same attempt is written down again.
    #[must_use]
    pub fn record_id(&self) -> String {
        let Self { cluster_id, topic_id, partition, offset, run, attempt, .. } = self;
        format!("{cluster_id}/{topic_id}/{partition}/{offset}/{run}/{attempt}")
    }
}

/// One step on the way, such as `FILE_PROCESSED`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeStep<'a> {
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    #[serde(default)]
    pub at: Option<i64>,
    /// A JSON object with the step's own members.
    pub detail: Cow<'a, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Processed,
    Duplicate,
    Filtered,
    RetriedInPlace,
    RetriedTopic,
    DeadLettered,
    Unprocessed,
    Halted,
    /// Retention took the events before they were read (I10).
    Lost,
}

impl OutcomeKind {
    pub(super) const ALL: [Self; 9] = [
        Self::Processed,
        Self::Duplicate,
        Self::Filtered,
        Self::RetriedInPlace,
        Self::RetriedTopic,
        Self::DeadLettered,
        Self::Unprocessed,
        Self::Halted,
        Self::Lost,
    ];

    /// The schema's symbol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Duplicate => "duplicate",
            Self::Filtered => "filtered",
            Self::RetriedInPlace => "retried_in_place",
            Self::RetriedTopic => "retried_topic",
            Self::DeadLettered => "dead_lettered",
            Self::Unprocessed => "unprocessed",
            Self::Halted => "halted",
            Self::Lost => "lost",
        }
    }

    /// All names, as messages say them.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// What [`Self::name`] names.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether another attempt follows by itself.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::RetriedInPlace | Self::RetriedTopic)
    }
}

impl Payload for Outcome<'static> {
    const EVENT_TYPE: &'static str = "bitt.outcome";
    const RECORD_NAME: &'static str = "org.coafi.bitt.Outcome";
    const SCHEMA: &'static str = embedded::BITT_OUTCOME;
}

impl Encodes<Outcome<'static>> for Outcome<'_> {}
