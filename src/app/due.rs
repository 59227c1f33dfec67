//! What stands in a table of one consumer group until its time has come: looked for, and published as events.
//!
//! Every replica does so. What is due is leased to one of them at a time, and is gone once its event is acknowledged; after a
//! crash in between it is published again, which does no harm: equal ids are one event.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::connectors::{EventProducer, NewSourceEvent, traceparent_of};
use crate::dispatch::NewEvent;
use crate::event::Outgoing;
use crate::runtime::unix_ms;
use crate::schema::AVRO_CONTENT_TYPE;
use crate::store::StoreError;

/// How long one replica has for publishing what it took.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// Between two looks at the table: how late an event may be.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a look that failed.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Shorter than the lease.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);
const QUEUE_BYTES: usize = 4 << 20;

pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// A table.
pub(super) trait Due: Send + Sync {
    /// What is in it, for the log.
    const WHAT: &'static str;
    /// Of one look.
    const TAKEN_MAX: u32;
    /// Events that wait for their acknowledgement together: [`QUEUE_BYTES`] has room for them.
    const AT_ONCE: usize;

    type Item: Send + Sync;

    /// At most [`Self::TAKEN_MAX`], leased for [`LEASE`].
    fn take(&self) -> impl Future<Output = Result<Vec<Self::Item>, StoreError>> + Send;

    /// Its event; `None` if nobody waits for it any more.
    fn event(&self, item: &Self::Item) -> impl Future<Output = Result<Option<NewSourceEvent>, Failed>> + Send;

    /// They are published, or not wanted.
    fn done(&self, items: &[Self::Item]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Publishes what is due, until `stop`.
pub(super) async fn publish<D: Due>(due: D, client: ClientConfig, stop: CancellationToken) -> Result<(), Infallible> {
    // For the first event: most groups have none.
    let mut producer = None;
    loop {
        let wait = match look(&due, &client, &mut producer).await {
            // There may be more.
            Ok(taken) if taken == D::TAKEN_MAX as usize => Duration::ZERO,
            Ok(_) => INTERVAL,
            Err(error) => {
                tracing::warn!(error = &*error as &dyn Error, "{} that are due were not published", D::WHAT);
                INTERVAL_AFTER_FAILURE
            }
        };
        // A table does not tell by itself that something in it is due.
        let _told = tokio::time::timeout(wait, stop.cancelled()).await;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// How many were due.
async fn look<D: Due>(due: &D, client: &ClientConfig, producer: &mut Option<EventProducer>) -> Result<usize, Failed> {
    let taken = due.take().await?;
    for items in taken.chunks(D::AT_ONCE) {
        let producer = match producer {
            Some(producer) => producer,
            None => producer.insert(EventProducer::new(client, QUEUE_BYTES, PUBLISH_TIMEOUT)?),
        };
        let mut records: Vec<Outgoing> = Vec::with_capacity(items.len());
        for item in items {
            let event = due.event(item).await?;
            records.extend(event.map(|event| event.into_record(&traceparent_of(&tracing::Span::current()))));
        }
        // One acknowledgement takes as long as that of all.
        try_join_all(records.iter().map(|record| producer.send(record))).await?;
        due.done(items).await?;
    }
    Ok(taken.len())
}

/// What a handler would have derived, had it been due then.
pub(super) fn source_event(new: NewEvent, correlation_id: String, utids: Vec<String>) -> NewSourceEvent {
    NewSourceEvent {
        topic: new.topic.into(),
        event_type: new.event_type,
        id: new.id,
        source: new.source,
        subject: new.subject,
        time_ms: Some(unix_ms()),
        key: new.key,
        correlation_id: Some(correlation_id),
        utids,
        reply_to: None,
        tenant: new.tenant,
        content_type: AVRO_CONTENT_TYPE,
        data: new.data,
    }
}
