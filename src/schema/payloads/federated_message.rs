//! `federated.message`: a message of another domain, verified.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.FederatedMessagePayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedMessage {
    pub message_id: String,
    /// As it is configured, never as the message says.
    pub source_domain: String,
    #[serde(default)]
    pub target_domain: Option<String>,
    pub message_type: String,
    /// CloudEvents `source` within the domain.
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub subject: Option<String>,
    pub sent_at: i64,
    /// JSON, as it was sent.
    pub payload: String,
    pub authentication: FederatedAuthentication,
    #[serde(default)]
    pub utids: Vec<String>,
}

/// How it is known that the domain sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedAuthentication {
    pub method: FederatedMethod,
    #[serde(default)]
    pub key_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FederatedMethod {
    Signature,
    Transport,
}

impl Payload for FederatedMessage {
    const EVENT_TYPE: &'static str = "federated.message";
    const RECORD_NAME: &'static str = "org.coafi.events.FederatedMessagePayload";
    const SCHEMA: &'static str = embedded::FEDERATED_MESSAGE;
}

impl Encodes<Self> for FederatedMessage {}
