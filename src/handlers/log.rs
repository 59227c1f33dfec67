//! `log`: writes a line with the event's attributes and the size of its data. Ids and position come from the event's span.

use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::{Context, Failure, Handler, Registration, Success};
use crate::event::{Attribute, Event};

inventory::submit! {
    Registration {
        name: "log",
        summary: "writes a log line about the event and succeeds",
        build: |_services| Ok(Arc::new(Log)),
    }
}

#[derive(Debug)]
pub struct Log;

#[async_trait]
impl Handler for Log {
    async fn handle(&self, event: &Event, _context: &Context<'_>) -> Result<Success, Failure> {
        tracing::info!(
            "type" = event.event_type(),
            source = event.source(),
            subject = event.attribute(Attribute::Subject),
            time = event.attribute(Attribute::Time),
            content_type = event.content_type(),
            bytes = event.data().len(),
            "event"
        );
        Ok(Success::default())
    }
}
