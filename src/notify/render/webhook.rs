//! What a webhook is sent: the notifications with all that they have.

use serde_json::{Value, json};

use super::{Message, context_of, time};
use crate::schema::Payload as _;
use crate::schema::payloads::NotificationDelivery;

/// By the shape that Standard Webhooks recommends: type, timestamp, data.
pub(in crate::notify) fn webhook(message: &Message<'_>) -> Value {
    json!({
        "type": NotificationDelivery::EVENT_TYPE,
        "timestamp": time(message.now_ms),
        "data": {
            "id": message.id,
            "channel": message.delivery.channel,
            "groupKey": message.delivery.group_key,
            "severity": message.severity().name(),
            "title": message.title(),
            "notifications": message.delivery.notifications.iter().map(context_of).collect::<Vec<_>>(),
            "utids": message.delivery.utids,
        },
    })
}
