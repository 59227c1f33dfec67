//! `notification`: somebody is to be told something. Decides which channels are told, whether they were told before and
//! whether it waits for others, in one SQL transaction with the inbox row (I4, I9). Each message is an event of its own: its
//! failure is not that of whoever asked.
//!
//! It refuses to know what messages look like and how they are sent: that is `notification_delivery`'s.

pub mod events;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use self::wanted::Wanted;
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once};
use crate::event::Event;
use crate::notify::Pace;
use crate::schema::payloads::{NotificationDelivery, NotificationRequested};
use crate::store::{NewNotice, NoticeGroup, Said};

/// Notifications of one message: it stays below what a topic takes, and people read no more.
const MEMBERS_MAX: u32 = 20;

inventory::submit! {
    Registration {
        name: "notification",
        summary: "decides who is told of something, once, and alone or together with more of its kind",
        build: |_| Ok(Arc::new(NotificationHandler)),
    }
}

struct NotificationHandler;

#[async_trait]
impl Handler for NotificationHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let requested: NotificationRequested = context.services.codec.decode(event).await?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let notifier = &context.services.notifier;
        let wanted = Wanted::check(event, &requested, notifier)?;
        let chosen = channels(&wanted, &requested, context)?;
        let (mut told, mut waiting, mut said_before) = (Vec::new(), Vec::new(), Vec::new());
        let (mut notices, mut emit) = (Vec::new(), Vec::new());
        for (channel, pace) in chosen {
            let said = said(&requested, pace);
            if let Some((said, _)) = &said
                && context.services.store.was_said(&context.fence.group, channel, said).await?
            {
                said_before.push(channel);
                continue;
            }
            let delivery_id = events::delivery_id(channel, event, context);
            let waits = !requested.group_key.is_empty() && !pace.group_wait.is_zero();
            let group = if waits {
                waiting.push(channel);
                let notification = serde_json::to_string(&wanted.notification)
                    .map_err(|error| Failure::permanent("notification_not_json", error))?;
                Some(NoticeGroup {
                    key: requested.group_key.clone(),
                    delivery_id,
                    correlation_id: event.correlation_id().to_owned(),
                    wait: pace.group_wait,
                    members_max: MEMBERS_MAX,
                    notification,
                })
            } else {
                told.push(channel);
                let delivery = NotificationDelivery {
                    channel: channel.to_owned(),
                    group_key: requested.group_key.clone(),
                    notifications: vec![wanted.notification.clone()],
                    utids: requested.utids.clone(),
                };
                emit.push(events::delivery(&context.services.codec, notifier, delivery_id, &delivery).await?);
                None
            };
            notices.push(NewNotice { channel: channel.to_owned(), said, group });
        }
        let message = message(&told, &waiting, &said_before);
        let data = json!({"told": told, "waiting": waiting, "saidBefore": said_before});
        let success = Success { message, data, emit, ..Success::default() };
        once::commit_notices(event, context, notices, success).await
    }
}

/// Those that it names, or those of the rules; in the order of their names, in which every transaction locks.
fn channels<'a>(
    wanted: &Wanted,
    requested: &'a NotificationRequested,
    context: &'a Context<'_>,
) -> Result<BTreeMap<&'a str, Pace>, Failure> {
    let notifier = &context.services.notifier;
    if requested.channels.is_empty() {
        return Ok(notifier.decide(wanted.severity, &wanted.notification.source));
    }
    if let Some(unknown) = requested.channels.iter().find(|name| notifier.channel(name).is_none()) {
        let known = notifier.channels().map(|channel| channel.name.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("channel {unknown:?} is not configured; configured: {known}");
        return Err(Failure::invalid("unknown_channel", message));
    }
    Ok(requested.channels.iter().map(|name| (name.as_str(), notifier.pace())).collect())
}

/// What must not have been said, and for how long it is not said again.
fn said(requested: &NotificationRequested, pace: Pace) -> Option<(Said, std::time::Duration)> {
    let deduplicated = !requested.dedup_key.is_empty() && !pace.dedup_window.is_zero();
    deduplicated
        .then(|| (Said { key: requested.dedup_key.clone(), resolved: requested.resolved }, pace.dedup_window))
}

fn message(told: &[&str], waiting: &[&str], said_before: &[&str]) -> String {
    let parts = [("told", told), ("to be told with others", waiting), ("told before", said_before)];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, channels)| !channels.is_empty())
        .map(|(what, channels)| format!("{what}: {}", channels.join(", ")))
        .collect();
    if parts.is_empty() { "no rule matches: nobody is told".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests;
