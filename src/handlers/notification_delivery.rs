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
        if context.services.notifier.is_silenced() {
            let message = format!("{} is not told in an isolated replay", delivery.channel);
            return Ok(Success { message, ..Success::default() });
        }
        context.asks(&format!("{NOTIFY}{}", delivery.channel))?;
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
            let failure = Failure::transient("channel_not_ready", format!("{message}{asks}")).about(channel);
            match after {
                Some(after) => failure.with_retry_after(after),
                None => failure,
            }
        }
        SendError::Refused(_) => Failure::permanent("channel_refused", message),
        SendError::Template(_) => Failure::permanent("template_wrong", message),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::{Class, Dependency};

    #[test]
    fn only_a_server_that_is_not_there_is_an_outage() {
        let of = |error: SendError| {
            let failure = failure("chat", error);
            (failure.class, failure.code, failure.message)
        };
        let later = SendError::Later { message: "503".into(), after: Some(Duration::from_secs(7)) };
        let said = |text: &str| format!("channel chat: {text}");
        let away = Class::Systemic(Dependency::new("notify:chat"));
        let expected = (away, "channel_unreachable", said("cannot be reached: refused"));
        assert_eq!(of(SendError::Unreachable("refused".into())), expected);
        let expected = (Class::Transient, "channel_not_ready", said("503; it asks to wait for 7 s"));
        assert_eq!(of(later), expected);
        assert_eq!(of(SendError::Refused("404".into())), (Class::Permanent, "channel_refused", said("404")));
    }
}
