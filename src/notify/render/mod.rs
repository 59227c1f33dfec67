//! A message as each kind of channel takes it.

mod alertmanager;
mod email;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

pub(super) use alertmanager::alerts;
pub(super) use email::email;
pub(super) use slack::slack;
pub(super) use webhook::webhook;

use serde_json::{Value, json};

use super::Severity;
use crate::schema::payloads::{DeliveredNotification, NotificationDelivery};

/// What is sent, and under which id: the same when it is sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) delivery: &'a NotificationDelivery,
    pub(super) now_ms: i64,
}

impl Message<'_> {
    /// As bad as the worst of it that is not over.
    fn severity(&self) -> Severity {
        let of = |notification: &DeliveredNotification| notification.severity.parse().unwrap_or_default();
        self.delivery.notifications.iter().map(of).max().unwrap_or_default()
    }

    /// One line.
    fn title(&self) -> String {
        match &self.delivery.notifications[..] {
            [one] => format!("{}{}", if one.resolved { "Resolved: " } else { "" }, one.title),
            all => format!("{} notifications: {}", all.len(), self.delivery.group_key),
        }
    }

    /// What layouts are filled with.
    fn context(&self) -> Value {
        json!({
            "channel": self.delivery.channel,
            "group": self.delivery.group_key,
            "severity": self.severity().name(),
            "title": self.title(),
            "notifications": self.delivery.notifications.iter().map(context_of).collect::<Vec<_>>(),
        })
    }
}

/// Of one notification.
fn context_of(notification: &DeliveredNotification) -> Value {
    json!({
        "id": notification.id,
        "title": notification.title,
        "text": notification.text,
        "severity": notification.severity,
        "source": notification.source,
        "dedupKey": notification.dedup_key,
        "resolved": notification.resolved,
        "url": notification.url,
        "data": data_of(notification),
        "requestedAt": time(notification.requested_at),
    })
}

/// An empty object where there is none.
fn data_of(notification: &DeliveredNotification) -> Value {
    serde_json::from_str(&notification.data).unwrap_or_else(|_| json!({}))
}

/// RFC 3339.
fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// At most so many characters.
fn clipped(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}
