//! `bitt.record`: an audit record that somebody watches for.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.BittRecordPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BittRecord {
    /// The name of the watch.
    pub watch: String,
    /// E.g. `EVENT_PROCESSED`.
    pub record_type: String,
    pub log_topic: String,
    pub log_partition: i32,
    pub log_offset: i64,
    #[serde(default)]
    pub event_id: Option<String>,
    #[serde(default)]
    pub event_type: Option<String>,
    #[serde(default)]
    pub event_source: Option<String>,
    /// Where the event stood.
    pub topic: String,
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub attempt: Option<i32>,
    #[serde(default)]
    pub handlers: Vec<String>,
    #[serde(default)]
    pub route: Option<String>,
    #[serde(default)]
    pub error_class: Option<String>,
    #[serde(default)]
    pub error_code: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
    /// Types of steps.
    #[serde(default)]
    pub steps: Vec<String>,
    #[serde(default)]
    pub result: Option<String>,
    #[serde(default)]
    pub by: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub utids: Vec<String>,
    #[serde(default)]
    pub correlation_id: Option<String>,
    pub recorded_at: i64,
}

impl Payload for BittRecord {
    const EVENT_TYPE: &'static str = "bitt.record";
    const RECORD_NAME: &'static str = "org.coafi.events.BittRecordPayload";
    const SCHEMA: &'static str = embedded::BITT_RECORD;
}

impl Encodes<Self> for BittRecord {}
