//! `noop`: succeeds without looking at the event. What the benchmark and the tests of everything around a handler use.

use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::{Context, Failure, Handler, Registration, Success};
use crate::event::Event;

inventory::submit! {
    Registration {
        name: "noop",
        summary: "succeeds without looking at the event",
        build: |_services| Ok(Arc::new(Noop)),
    }
}

#[derive(Debug)]
pub struct Noop;

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, _event: &Event, _context: &Context<'_>) -> Result<Success, Failure> {
        Ok(Success::default())
    }

    fn logs(&self) -> bool {
        false
    }
}
