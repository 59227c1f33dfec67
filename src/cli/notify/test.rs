//! `coafi notify test`.

use clap::Args;
use serde_json::json;

use super::super::{Answer, Context, Exit, Failure};
use super::check_channel;
use crate::app;
use crate::config::host_name;
use crate::notify::SendError;
use crate::runtime::unix_ms;
use crate::schema::payloads::{DeliveredNotification, NotificationDelivery};

/// Send a test message to a channel at once, without Kafka, and say what its server answered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi notify test ops-chat
  coafi notify test mail --output json | jq -r .answer

Exit codes: 0 sent, 1 the server refuses it, 2 there is no such channel or the configuration is wrong, 3 the server does not
answer.")]
pub(in crate::cli) struct Test {
    /// The channel's name.
    channel: String,
}

impl Test {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let notifier = app::notifier(context.settings())
            .map_err(|error| Failure::usage("channels cannot be used").because(error))?;
        check_channel(&notifier, &self.channel)?;
        let id = format!("test-{}", uuid::Uuid::new_v4());
        let delivery = NotificationDelivery {
            channel: self.channel.clone(),
            group_key: String::new(),
            notifications: vec![DeliveredNotification {
                id: id.clone(),
                title: "This is a test".to_owned(),
                text: format!("Somebody on {} looks whether channel {} works.", host_name(), self.channel),
                severity: "info".to_owned(),
                source: "/coafi/cli/notify".to_owned(),
                dedup_key: String::new(),
                resolved: false,
                url: String::new(),
                data: String::new(),
                requested_at: unix_ms(),
            }],
            utids: Vec::new(),
        };
        let sent = notifier.send(&id, &delivery).await.map_err(|error| {
            let message = format!("channel {:?} did not take the message", self.channel);
            match &error {
                SendError::Unreachable(_) | SendError::Later { .. } => Failure::unavailable(message),
                SendError::Refused(_) | SendError::Template(_) => Failure::failed(message),
            }
            .because(error)
        })?;
        let text = format!("channel {} answered: {}", self.channel, sent.answer);
        let json = json!({"channel": self.channel, "id": id, "answer": sent.answer});
        context.output().answer(&Answer { json, text, yes: true })
    }
}
