//! `api.reply`: how a request ended, for the caller who asked.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.ApiReplyEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiReply {
    /// Id of the event that is answered.
    pub request_id: String,
    pub request_source: String,
    /// `processed`, `refused`, `filtered`, `dead_lettered` or `unprocessed`; others may come.
    pub outcome: String,
    /// As an HTTP status.
    pub status: i32,
    /// JSON: the result, or from status 400 on a problem document.
    pub body: String,
    pub replied_at: i64,
}

impl Payload for ApiReply {
    const EVENT_TYPE: &'static str = "api.reply";
    const RECORD_NAME: &'static str = "org.coafi.events.ApiReplyEventPayload";
    const SCHEMA: &'static str = embedded::API_REPLY;
}

impl Encodes<Self> for ApiReply {}
