//! `workflow`: runs workflows. Every event takes one run on by one step: it is read, advanced, and written in one SQL
//! transaction with the inbox row (I4, I9), and what follows are derived events. A crash at any point resumes, and no effect is
//! made twice: an attempt that is not awaited does nothing, and of two writers of a run one is refused.
//!
//! | event | |
//! |---|---|
//! | `workflow.requested` | starts a run, unless there is one with this id |
//! | `workflow.step` | does an attempt of a step |
//! | `workflow.called` | starts a run for whose end a step of another run waits |
//! | `workflow.arrived` | ends an attempt that waits for an event or for another run |
//! | `workflow.command` | a person cancels, retries, approves or rejects |
//! | any other | starts the workflows that its type triggers, and is given to the runs that wait for it |
//!
//! It refuses to know what follows from what: that is [`crate::workflow`]'s.

mod arrival;
mod arrived;
mod called;
mod command;
mod document;
pub mod events;
mod perform;
mod post;
mod requested;
mod step;
mod trigger;
mod turn;

pub use command::{APPROVE, CANCEL, REJECT, RETRY};

use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::{Context, Failure, Handler, Registration, Success};
use crate::event::Event;
use crate::schema::Payload as _;
use crate::schema::payloads::{WorkflowArrived, WorkflowCalled, WorkflowCommand, WorkflowRequested, WorkflowStep};

inventory::submit! {
    Registration {
        name: "workflow",
        summary: "runs workflows: starts them, does their steps, and starts those that an event triggers",
        build: |_| Ok(Arc::new(WorkflowHandler)),
    }
}

struct WorkflowHandler;

#[async_trait]
impl Handler for WorkflowHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        match event.event_type() {
            WorkflowRequested::EVENT_TYPE => requested::handle(event, context).await,
            WorkflowStep::EVENT_TYPE => step::handle(event, context).await,
            WorkflowCalled::EVENT_TYPE => called::handle(event, context).await,
            WorkflowArrived::EVENT_TYPE => arrived::handle(event, context).await,
            WorkflowCommand::EVENT_TYPE => command::handle(event, context).await,
            _ => trigger::handle(event, context).await,
        }
    }
}

#[cfg(test)]
mod tests;
