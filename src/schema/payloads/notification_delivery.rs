//! `notification.delivery`: one message to one channel.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.NotificationDeliveryEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationDelivery {
    pub channel: String,
    /// Empty if it is one notification alone.
    pub group_key: String,
    pub notifications: Vec<DeliveredNotification>,
    #[serde(default)]
    pub utids: Vec<String>,
}

/// Texts that are not given are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveredNotification {
    /// Of the event that asked for it.
    pub id: String,
    pub title: String,
    pub text: String,
    pub severity: String,
    pub source: String,
    pub dedup_key: String,
    pub resolved: bool,
    pub url: String,
    /// A JSON object.
    pub data: String,
    pub requested_at: i64,
}

impl Payload for NotificationDelivery {
    const EVENT_TYPE: &'static str = "notification.delivery";
    const RECORD_NAME: &'static str = "org.coafi.events.NotificationDeliveryEventPayload";
    const SCHEMA: &'static str = embedded::NOTIFICATION_DELIVERY;
}

impl Encodes<Self> for NotificationDelivery {}
