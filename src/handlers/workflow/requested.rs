//! `workflow.requested`: a run begins.

use serde_json::Value;

use super::turn::{self, Effects};
use crate::dispatch::{Context, Failure, Success, once};
use crate::event::Event;
use crate::schema::payloads::WorkflowRequested;
use crate::workflow;

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let requested: WorkflowRequested = context.services.codec.decode(event).await?;
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let id = requested.workflow_id.as_str();
    if id.is_empty() {
        return Err(Failure::invalid("invalid_request", "workflowId is empty; allowed: an id of the run's own"));
    }
    if let Some(run) = context.services.store.workflow_run(&context.fence.group, id).await? {
        return Ok(turn::nothing(id, format_args!("the run is there already, and is {}", run.run.status)));
    }
    let definitions = &context.services.workflows;
    let Some(definition) = definitions.get(&requested.workflow) else {
        let message = format!("there is no workflow {:?}; defined: {}", requested.workflow, definitions.names());
        return Err(Failure::invalid("unknown_workflow", message).about(&requested.workflow));
    };
    let input: Value = serde_json::from_str(&requested.input)
        .map_err(|error| Failure::invalid("invalid_input", format!("input is no JSON: {error}")))?;
    let errors = definition.input_errors(&input);
    if !errors.is_empty() {
        let message = format!("{} does not take this input: {}", definition.name, errors[0]);
        return Err(Failure { errors, ..Failure::invalid("invalid_input", message) }.about(&requested.workflow));
    }
    let advanced = workflow::start(definition, id, input);
    turn::commit(event, context, definition, None, advanced, Effects::default()).await
}
