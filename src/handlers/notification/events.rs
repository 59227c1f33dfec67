//! The events that become messages. Their ids follow from what asked for them (I9).

use crate::dispatch::{Context, Failure, NewEvent, artifact, once};
use crate::event::Event;
use crate::notify::Notifier;
use crate::schema::payloads::NotificationDelivery;
use crate::schema::{Codec, Payload as _};

/// Where everything about notifications is.
pub const TOPIC: &str = "coafi.notifications";

/// Of the message to a channel that the event asks for, or that it begins.
pub(super) fn delivery_id(channel: &str, event: &Event, context: &Context<'_>) -> String {
    let parts = [&context.fence.group, channel, event.source(), event.id(), &once::run(event, context)];
    format!("nd-{}", artifact::digest(&parts))
}

/// A message to one channel. Routes tell channels apart by its source, `/coafi/notifications/{kind}/{channel}`, and tenants'
/// bounds are the channel's.
///
/// # Errors
/// As [`Codec::encode`].
pub async fn delivery(
    codec: &Codec,
    notifier: &Notifier,
    id: String,
    delivery: &NotificationDelivery,
) -> Result<NewEvent, Failure> {
    // One that is configured no more is refused by the handler.
    let kind = notifier.channel(&delivery.channel).map_or("unknown", |channel| channel.kind_name());
    Ok(NewEvent {
        topic: TOPIC.to_owned(),
        source: format!("/coafi/notifications/{kind}/{}", delivery.channel),
        event_type: NotificationDelivery::EVENT_TYPE.to_owned(),
        subject: Some(delivery.channel.clone()),
        key: key(delivery, &id),
        id,
        workflow_hops: None,
        tenant: Some(delivery.channel.clone()),
        data: codec.encode(TOPIC, delivery).await?,
    })
}

/// What is about the same thing is said in order.
fn key(delivery: &NotificationDelivery, id: &str) -> String {
    let about = match &delivery.notifications[..] {
        _ if !delivery.group_key.is_empty() => &delivery.group_key,
        [one] if !one.dedup_key.is_empty() => &one.dedup_key,
        _ => id,
    };
    format!("{}/{about}", delivery.channel)
}
