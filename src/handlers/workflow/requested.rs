//! `workflow.requested`: a run begins.

use std::sync::Arc;

use serde_json::Value;

use super::events;
use super::turn::{self, Effects};
use crate::dispatch::{Context, Failure, Success, once};
use crate::engine::Class;
use crate::event::{Attribute, Event};
use crate::schema::Payload as _;
use crate::schema::payloads::{WorkflowFailed, WorkflowRequested};
use crate::workflow::{self, Caller, Definition, Fault, HOPS_MAX, Origin};

/// A run that is asked for.
pub(super) struct Request {
    pub(super) workflow: String,
    pub(super) workflow_id: String,
    /// JSON.
    pub(super) input: String,
    /// Who waits for its end, if anybody does.
    pub(super) caller: Option<Caller>,
}

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let requested: WorkflowRequested = context.services.codec.decode(event).await?;
    let WorkflowRequested { workflow, workflow_id, input, .. } = requested;
    let request = Request { workflow, workflow_id, input, caller: None };
    match begin(event, context, &request).await {
        Err(failure) => Err(not_started(event, context, &request, failure).await?),
        began => began,
    }
}

/// The failure with what is said where it is the last one: that the workflow could not be started. Nothing of the message, which
/// may quote the input: the dead letter has it.
async fn not_started(
    event: &Event,
    context: &Context<'_>,
    request: &Request,
    failure: Failure,
) -> Result<Failure, Failure> {
    // What an outage stops waits, and is no dead letter. And where nobody would hear of it, nothing is said.
    let is_heard = context.services.workflows.triggered_by(WorkflowFailed::EVENT_TYPE).next().is_some();
    if matches!(failure.class, Class::Systemic(_)) || !is_heard {
        return Ok(failure);
    }
    let Request { workflow, workflow_id, .. } = request;
    let ended = events::not_started(event, context, workflow, workflow_id, failure.code).await?;
    Ok(Failure { on_dead_letter: Some(Box::new(ended)), ..failure })
}

/// # Errors
/// Invalid: there is no such workflow, or it does not take the input. Whoever waits for the run's end is told so instead.
pub(super) async fn begin(event: &Event, context: &Context<'_>, request: &Request) -> Result<Success, Failure> {
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let id = request.workflow_id.as_str();
    if id.is_empty() {
        return Err(Failure::invalid("invalid_request", "workflowId is empty; allowed: an id of the run's own"));
    }
    if let Some(run) = context.services.store.workflow_run(&context.fence.group, id).await? {
        return Ok(turn::nothing(id, format_args!("the run is there already, and is {}", run.run.status)));
    }
    match (checked(event, context, request), &request.caller) {
        (Ok((definition, input, hops)), _) => {
            let origin = Origin { caller: request.caller.clone(), hops };
            let advanced = workflow::start_from(&definition, id, input, origin);
            turn::commit(event, context, &definition, None, advanced, Effects::default()).await
        }
        (Err(failure), None) => Err(failure),
        (Err(failure), Some(caller)) => refuse(event, context, request, caller, failure).await,
    }
}

/// The workflow, what it is started with, and how many runs led to it.
fn checked(event: &Event, context: &Context<'_>, request: &Request) -> Result<(Arc<Definition>, Value, u32), Failure> {
    let definitions = &context.services.workflows;
    let Some(definition) = definitions.get(&request.workflow) else {
        let message = format!("there is no workflow {:?}; defined: {}", request.workflow, definitions.names());
        return Err(Failure::invalid("unknown_workflow", message).about(&request.workflow));
    };
    let input: Value = serde_json::from_str(&request.input)
        .map_err(|error| Failure::invalid("invalid_input", format!("input is no JSON: {error}")))?;
    let errors = definition.input_errors(&input);
    if !errors.is_empty() {
        let message = format!("{} does not take this input: {}", definition.name, errors[0]);
        return Err(Failure { errors, ..Failure::invalid("invalid_input", message) }.about(&request.workflow));
    }
    let earlier = event.attribute(Attribute::WorkflowHops).and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    let hops = earlier.saturating_add(1);
    if hops > HOPS_MAX {
        let message = format!(
            "{earlier} runs led to this one, each by starting the next; allowed: at most {HOPS_MAX}. Give the workflows that \
             start each other in a circle a `when` that ends it"
        );
        return Err(Failure::invalid("too_many_hops", message).about(&request.workflow));
    }
    Ok((Arc::clone(definition), input, hops))
}

/// The step that waits fails.
async fn refuse(
    event: &Event,
    context: &Context<'_>,
    request: &Request,
    caller: &Caller,
    failure: Failure,
) -> Result<Success, Failure> {
    let result = Err(Fault::new(failure.code, &failure.message));
    let about = format!("refused/{}", request.workflow_id);
    let emit = vec![events::arrived(&context.services.codec, &context.fence.group, caller, &about, &result).await?];
    let nothing = turn::nothing(&request.workflow_id, format_args!("{}: {}", failure.code, failure.message));
    once::commit(event, context, Vec::new(), Success { emit, ..nothing }).await
}
