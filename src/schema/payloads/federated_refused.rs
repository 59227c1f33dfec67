//! `federated.refused`: a record of another domain's topic that is no message of it.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.FederatedRefusedPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedRefused {
    pub domain: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// A constant, snake_case.
    pub reason: String,
    pub detail: String,
    /// Of the record's value, hexadecimal.
    pub sha256: String,
    pub bytes: i64,
    /// The record's timestamp.
    pub received_at: i64,
}

impl Payload for FederatedRefused {
    const EVENT_TYPE: &'static str = "federated.refused";
    const RECORD_NAME: &'static str = "org.coafi.events.FederatedRefusedPayload";
    const SCHEMA: &'static str = embedded::FEDERATED_REFUSED;
}

impl Encodes<Self> for FederatedRefused {}
