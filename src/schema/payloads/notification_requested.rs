//! `notification.requested`: somebody is to be told something.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.NotificationRequestedEventPayload`. Texts that are not given are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationRequested {
    pub title: String,
    #[serde(default)]
    pub text: String,
    /// Makes the text of the data.
    #[serde(default)]
    pub template: String,
    /// A JSON object.
    #[serde(default)]
    pub data: String,
    /// `info`, `warning` or `critical`.
    #[serde(default = "info")]
    pub severity: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub dedup_key: String,
    #[serde(default)]
    pub group_key: String,
    /// Else rules decide.
    #[serde(default)]
    pub channels: Vec<String>,
    #[serde(default)]
    pub resolved: bool,
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub utids: Vec<String>,
}

fn info() -> String {
    "info".to_owned()
}

impl Payload for NotificationRequested {
    const EVENT_TYPE: &'static str = "notification.requested";
    const RECORD_NAME: &'static str = "org.coafi.events.NotificationRequestedEventPayload";
    const SCHEMA: &'static str = embedded::NOTIFICATION_REQUESTED;
}

impl Encodes<Self> for NotificationRequested {}
