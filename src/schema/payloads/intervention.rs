//! What a person did with a record that was put away.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Encodes, Place};
use crate::schema::{Payload, embedded};

/// `org.coafi.bitt.Intervention`: one record per dead letter or unprocessed event that was acted on, in the same transaction
/// as what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intervention<'a> {
    pub cluster_id: Cow<'a, str>,
    pub action: InterventionKind,
    /// Where the record was put away.
    pub topic: Cow<'a, str>,
    pub partition: i32,
    pub offset: i64,
    pub by: Cow<'a, str>,
    #[serde(default)]
    pub reason: Option<Cow<'a, str>>,
    /// Of a record that was sent again: its number, from 1.
    #[serde(default)]
    pub redrive: i32,
    /// Where the record stood before it was put away, where that is known.
    #[serde(default)]
    pub origin: Option<Place<'a>>,
    /// Of a record that was sent again: where it stands now.
    #[serde(default)]
    pub sent_to: Option<Place<'a>>,
    /// `None` where the record is not an event.
    #[serde(default)]
    pub event_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub event_type: Option<Cow<'a, str>>,
    /// CloudEvents `source`.
    #[serde(default)]
    pub source: Option<Cow<'a, str>>,
    #[serde(default)]
    pub correlation_id: Option<Cow<'a, str>>,
    /// Why it had been put away.
    #[serde(default)]
    pub error_class: Option<Cow<'a, str>>,
    pub at: i64,
}

/// The name of what was done, as that of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InterventionKind {
    /// Sent again from a dead-letter topic.
    EventRedriven,
    /// Sent again from the topic of unprocessed events.
    EventRerouted,
    /// Given up.
    EventPurged,
}

impl InterventionKind {
    /// As a step is named.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventRedriven => "EVENT_REDRIVEN",
            Self::EventRerouted => "EVENT_REROUTED",
            Self::EventPurged => "EVENT_PURGED",
        }
    }
}

impl Intervention<'_> {
    /// The record's id: the same for the same record and redrive.
    #[must_use]
    pub fn record_id(&self) -> String {
        let Self { cluster_id, action, topic, partition, offset, redrive, .. } = self;
        format!("{cluster_id}/{topic}/{partition}/{offset}/{}/{redrive}", action.name())
    }
}

impl Payload for Intervention<'static> {
    const EVENT_TYPE: &'static str = "bitt.intervention";
    const RECORD_NAME: &'static str = "org.coafi.bitt.Intervention";
    const SCHEMA: &'static str = embedded::BITT_INTERVENTION;
}

impl Encodes<Intervention<'static>> for Intervention<'_> {}
