//! `api.request`: a request that the HTTP API accepted.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.ApiRequestEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiRequest {
    /// Without a leading slash, e.g. `registry/update`.
    pub endpoint: String,
    /// In capitals.
    pub method: String,
    /// Also the event's id.
    pub request_id: String,
    /// JSON, as it was sent.
    pub body: String,
    /// Who asked: `key:<name>` or `jwt:<subject>`. The token itself stays at the API.
    pub principal: String,
    pub received_at: i64,
}

impl Payload for ApiRequest {
    const EVENT_TYPE: &'static str = "api.request";
    const RECORD_NAME: &'static str = "org.coafi.events.ApiRequestEventPayload";
    const SCHEMA: &'static str = embedded::API_REQUEST;
}

impl Encodes<Self> for ApiRequest {}
