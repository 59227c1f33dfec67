//! What workflows wait for: publishes the events of attempts whose time has come.
//!
//! Every replica does so. A timer is leased to one of them at a time, and is gone once its event is acknowledged; after a
//! crash in between it is published again, which does no harm: equal ids are one event, and an attempt is done once.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use crate::connectors::{EventProducer, NewSourceEvent, traceparent_of};
use crate::dispatch::{NewEvent, Services};
use crate::handlers::workflow::events;
use crate::runtime::unix_ms;
use crate::schema::AVRO_CONTENT_TYPE;
use crate::store::{DueTimer, RunRecord};
use crate::workflow::Path;

/// Between two looks at the table: how late an attempt may be.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a look that failed.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Timers of one look.
const TIMERS_MAX: u32 = 100;
/// How long one replica has for publishing what it took.
const LEASE: Duration = Duration::from_secs(30);
/// Shorter than the lease.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);
const QUEUE_BYTES: usize = 1 << 20;

/// The timers of one group.
pub(super) struct WorkflowTimers {
    pub(super) services: Arc<Services>,
    pub(super) client: ClientConfig,
    pub(super) group: String,
}

impl WorkflowTimers {
    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut producer = None;
        loop {
            let wait = match self.look(&mut producer).await {
                Ok(TIMERS_MAX) => Duration::ZERO,
                Ok(_) => INTERVAL,
                Err(error) => {
                    tracing::warn!(
                        error = &*error as &dyn Error,
                        "attempts of workflows that are due were not published"
                    );
                    INTERVAL_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// How many were due. The producer is made for the first of them: most groups have none.
    async fn look(&self, producer: &mut Option<EventProducer>) -> Result<u32, Box<dyn Error + Send + Sync>> {
        let due = self.services.store.lease_timers(&self.group, TIMERS_MAX, LEASE).await?;
        let count = u32::try_from(due.len()).unwrap_or(TIMERS_MAX);
        if due.is_empty() {
            return Ok(count);
        }
        let producer = match producer {
            Some(producer) => producer,
            None => producer.insert(EventProducer::new(&self.client, QUEUE_BYTES, PUBLISH_TIMEOUT)?),
        };
        let mut records = Vec::with_capacity(due.len());
        for timer in &due {
            // A run that is gone waits for nothing.
            if let Some(run) = self.services.store.workflow_run(&self.group, &timer.workflow_id).await? {
                records.push(self.event(timer, run.run).await?.into_record(&traceparent()));
            }
        }
        // One acknowledgement takes as long as that of all.
        try_join_all(records.iter().map(|record| producer.send(record))).await?;
        let published: Vec<String> = due.into_iter().map(|timer| timer.event_id).collect();
        self.services.store.delete_timers(&self.group, &published).await?;
        Ok(count)
    }

    async fn event(&self, timer: &DueTimer, run: RunRecord) -> Result<NewSourceEvent, Box<dyn Error + Send + Sync>> {
        let step = Path::of(&timer.step);
        let new: NewEvent =
            events::step(&self.services.codec, &run.workflow, &run.workflow_id, 0, &step, timer.attempt).await?;
        let utids = run.utids.as_deref().unwrap_or_default().split(',').filter(|utid| !utid.is_empty());
        Ok(NewSourceEvent {
            topic: new.topic.into(),
            event_type: new.event_type,
            id: new.id,
            source: new.source,
            subject: new.subject,
            time_ms: Some(unix_ms()),
            key: new.key,
            correlation_id: Some(run.correlation_id),
            utids: utids.map(str::to_owned).collect(),
            reply_to: None,
            tenant: None,
            content_type: AVRO_CONTENT_TYPE,
            data: new.data,
        })
    }
}

fn traceparent() -> String {
    traceparent_of(&tracing::Span::current())
}
