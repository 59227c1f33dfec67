//! Messages that waited for more of their group: publishes those whose time has come.
//!
//! Every replica does so. A message is leased to one of them at a time, takes no more from then on, and is gone once its event is
//! acknowledged; after a crash in between it is published again, which does no harm: equal ids are one event.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::connectors::{EventProducer, NewSourceEvent, traceparent_of};
use crate::dispatch::Services;
use crate::handlers::notification::events;
use crate::runtime::unix_ms;
use crate::schema::AVRO_CONTENT_TYPE;
use crate::schema::payloads::{DeliveredNotification, NotificationDelivery};
use crate::store::DueNotices;

/// Between two looks at the table: how late a message may be.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a look that failed.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Messages of one look.
const MESSAGES_MAX: u32 = 50;
/// How long one replica has for publishing what it took.
const LEASE: Duration = Duration::from_secs(30);
/// Shorter than the lease.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);
const QUEUE_BYTES: usize = 4 << 20;

/// The messages of one consumer group.
pub(super) struct NotificationGroups {
    pub(super) services: Arc<Services>,
    pub(super) client: ClientConfig,
    pub(super) group: String,
}

impl NotificationGroups {
    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut producer = None;
        loop {
            let wait = match self.look(&mut producer).await {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::warn!(error = &*error as &dyn Error, "notifications that are due were not published");
                    INTERVAL_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The producer is made for the first message: most groups have none.
    async fn look(&self, producer: &mut Option<EventProducer>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let due = self.services.store.lease_notices(&self.group, MESSAGES_MAX, LEASE).await?;
        if due.is_empty() {
            return Ok(());
        }
        let producer = match producer {
            Some(producer) => producer,
            None => producer.insert(EventProducer::new(&self.client, QUEUE_BYTES, PUBLISH_TIMEOUT)?),
        };
        for due in due {
            let delivery_id = due.delivery_id.clone();
            let record = self.event(due).await?.into_record(&traceparent_of(&tracing::Span::current()));
            producer.send(&record).await?;
            self.services.store.delete_notices(&self.group, &delivery_id).await?;
        }
        Ok(())
    }

    async fn event(&self, due: DueNotices) -> Result<NewSourceEvent, Box<dyn Error + Send + Sync>> {
        let notifications: Vec<DeliveredNotification> =
            due.notifications.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
        let delivery =
            NotificationDelivery { channel: due.channel, group_key: due.group_key, notifications, utids: Vec::new() };
        let Services { codec, notifier, .. } = &*self.services;
        let new = events::delivery(codec, notifier, due.delivery_id, &delivery).await?;
        Ok(NewSourceEvent {
            topic: new.topic.into(),
            event_type: new.event_type,
            id: new.id,
            source: new.source,
            subject: new.subject,
            time_ms: Some(unix_ms()),
            key: new.key,
            correlation_id: Some(due.correlation_id),
            utids: Vec::new(),
            reply_to: None,
            tenant: new.tenant,
            content_type: AVRO_CONTENT_TYPE,
            data: new.data,
        })
    }
}
