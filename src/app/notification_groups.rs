//! Messages that waited for more of their group. One takes no more once it is leased, so what is published again is the same.

use std::sync::Arc;

use super::due::{Due, Failed, LEASE, source_event};
use crate::connectors::NewSourceEvent;
use crate::dispatch::Services;
use crate::handlers::notification::events;
use crate::schema::payloads::{DeliveredNotification, NotificationDelivery};
use crate::store::{DueNotices, StoreError};

/// The messages of one group of consumers.
pub(super) struct NotificationGroups {
    pub(super) services: Arc<Services>,
    pub(super) group: String,
}

impl Due for NotificationGroups {
    const WHAT: &'static str = "notifications";
    const TAKEN_MAX: u32 = 50;
    /// Each may be as large as a record.
    const AT_ONCE: usize = 4;

    type Item = DueNotices;

    async fn take(&self) -> Result<Vec<DueNotices>, StoreError> {
        self.services.store.lease_notices(&self.group, Self::TAKEN_MAX, LEASE).await
    }

    async fn event(&self, due: &DueNotices) -> Result<Option<NewSourceEvent>, Failed> {
        let notifications: Vec<DeliveredNotification> =
            due.notifications.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
        let (channel, group_key) = (due.channel.clone(), due.group_key.clone());
        let delivery = NotificationDelivery { channel, group_key, notifications, utids: Vec::new() };
        let Services { codec, notifier, .. } = &*self.services;
        let new = events::delivery(codec, notifier, due.delivery_id.clone(), &delivery).await?;
        Ok(Some(source_event(new, due.correlation_id.clone(), Vec::new())))
    }

    async fn done(&self, due: &[DueNotices]) -> Result<(), StoreError> {
        for one in due {
            self.services.store.delete_notices(&self.group, &one.delivery_id).await?;
        }
        Ok(())
    }
}
