//! `noop`: decodes the event's data and succeeds. What the benchmark and the tests of everything around a handler use.

use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::{Context, Failure, Handler, Registration, Success};
use crate::event::Event;

inventory::submit! {
    Registration {
        name: "noop",
        summary: "decodes the event's data and does nothing with it",
        build: |_services| Ok(Arc::new(Noop)),
    }
}

#[derive(Debug)]
pub struct Noop;

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        context.services.codec.decode_json(event).await?;
        Ok(Success::default())
    }

    fn logs(&self) -> bool {
        false
    }
}
