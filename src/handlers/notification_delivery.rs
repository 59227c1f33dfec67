//! `notification_delivery`: sends one message to one channel.
//!
//! A message that a server has taken is not sent again, but for a crash right after: then it is, under the same id.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use crate::dispatch::{Context, Failure, Handler, Registration, Success, once};
use crate::event::Event;
use crate::notify::{NOTIFY, SendError};
use crate::schema::payloads::NotificationDelivery;

inventory::submit! {
    Registration {
        name: "notification_delivery",
        summary: "sends one message to one channel: chat, webhook, Alertmanager or e-mail",
        build: |_| Ok(Arc::new(NotificationDeliveryHandler)),
    }
}

struct NotificationDeliveryHandler;

#[async_trait]
impl Handler for NotificationDeliveryHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let delivery: NotificationDelivery = context.services.codec.decode(event).await?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        if delivery.notifications.is_empty() {
            return Err(Failure::invalid("no_notification", "the message has no notification"));
        }
        let sent = context.services.notifier.send(event.id(), &delivery).await;
        let sent = sent.map_err(|error| failure(&delivery.channel, error))?;
        let count = delivery.notifications.len();
        let success = Success {
            message: format!("{} was told of {count}: {}", delivery.channel, sent.answer),
            data: json!({"channel": delivery.channel, "notifications": count, "answer": sent.answer}),
            ..Success::default()
        };
        once::commit(event, context, Vec::new(), success).await
    }
}

fn failure(channel: &str, error: SendError) -> Failure {
    let message = format!("channel {channel}: {error}");
    match error {
        SendError::Unreachable(_) => Failure::systemic(&format!("{NOTIFY}{channel}"), "channel_unreachable", message),
        SendError::Later { after, .. } => {
            let asks = after.map(|after| format!("; it asks to wait for {} s", after.as_secs())).unwrap_or_default();
            Failure::transient("channel_not_ready", format!("{message}{asks}")).about(channel)
        }
        SendError::Refused(_) => Failure::permanent("channel_refused", message),
        SendError::Template(_) => Failure::permanent("template_wrong", message),
    }
}
