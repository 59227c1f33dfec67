//! What was done with a record that had been put away, and who may say so.

use serde::{Deserialize, Serialize};

use super::{Encodes, Place};
use crate::schema::{Payload, embedded};

/// `org.coafi.dlq.LetterState`, a value of the compacted topic `coafi.dlq.state`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterState {
    /// Where the record was put away.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub status: LetterStatus,
    pub by: String,
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was sent again or purged.
    pub since: i64,
    /// Of a record that was sent again: its number, from 1.
    #[serde(default)]
    pub redrive: i32,
    /// Of a record that was sent again: where it stands now.
    #[serde(default)]
    pub sent_to: Option<Place<'static>>,
    /// Its audit record: the outcome comes after it, in the same partition.
    #[serde(default)]
    pub audit: Option<Place<'static>>,
    #[serde(default)]
    pub event_id: Option<String>,
    /// What came of it: the name of an [`super::OutcomeKind`].
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub error_class: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub ended_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterStatus {
    /// Sent again; its outcome has not been seen yet.
    Redriving,
    /// Sent again, and what came of it is known.
    Redriven,
    Purged,
}

impl Payload for LetterState {
    const EVENT_TYPE: &'static str = "dlq.state";
    const RECORD_NAME: &'static str = "org.coafi.dlq.LetterState";
    const SCHEMA: &'static str = embedded::DLQ_STATE;
}

impl Encodes<Self> for LetterState {}

/// `org.coafi.dlq.Claim`, of the same topic: who changes a dead-letter topic's states now. Its key is that topic's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub topic: String,
    pub by: String,
    /// Of this one command.
    pub nonce: String,
    pub at: i64,
}

impl Payload for Claim {
    const EVENT_TYPE: &'static str = "dlq.claim";
    const RECORD_NAME: &'static str = "org.coafi.dlq.Claim";
    const SCHEMA: &'static str = embedded::DLQ_CLAIM;
}

impl Encodes<Self> for Claim {}
