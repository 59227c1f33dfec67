//! Any other event: the workflows that its type triggers are asked for, and the runs that wait for it are told. Asking again
//! derives the same requests; who waits may change, so that is remembered.

use serde_json::{Value, json};

use super::{arrival, events, turn};
use crate::dispatch::workflow_request::{self, WorkflowRequest};
use crate::dispatch::{Context, Failure, NewEvent, Step, Success, once};
use crate::event::Event;
use crate::event::incoming::is_text;
use crate::schema::Payload as _;
use crate::schema::payloads::WorkflowCompleted;
use crate::workflow::{Definition, Scope, Trigger};

pub(super) async fn handle(event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
    let triggered: Vec<_> = context.services.workflows.triggered_by(event.event_type()).collect();
    let correlations = arrival::correlations(event, context).await?;
    if triggered.is_empty() && correlations.is_empty() {
        return Ok(Success { message: "no workflow is triggered".to_owned(), ..Success::default() });
    }
    if !correlations.is_empty()
        && let Some(success) = once::earlier(event, context).await?
    {
        return Ok(success);
    }
    let mut data = data(event, context).await?;
    if event.event_type() == WorkflowCompleted::EVENT_TYPE {
        // What a run gives is text in Avro; whoever is triggered by it wants its members.
        let output = data["output"].as_str().and_then(|text| serde_json::from_str(text).ok());
        data["output"] = output.unwrap_or_default();
    }
    let scope = Scope::of_event(turn::attributes(event), data.clone());
    let mut emit: Vec<NewEvent> = Vec::new();
    let (mut started, mut steps) = (Vec::new(), Vec::new());
    for (definition, trigger) in triggered {
        let Some(input) = input(definition, trigger, &scope, &data)? else { continue };
        let workflow_id = workflow_request::id(&definition.name, event, context);
        // Of several triggers of one workflow the first that applies starts it.
        if emit.iter().any(|event| event.id == workflow_id) {
            continue;
        }
        let request = WorkflowRequest {
            workflow: &definition.name,
            workflow_id: &workflow_id,
            input,
            utids: event.utids().map(str::to_owned).collect(),
            source: &events::source(&definition.name),
            subject: Some(definition.name.clone()),
            key: workflow_id.clone(),
        };
        emit.push(workflow_request::event(context, request).await?);
        started.push(definition.name.as_str());
        let detail = json!({"workflow": definition.name, "workflowId": workflow_id});
        steps.push(Step { kind: "WORKFLOW_INITIATED".to_owned(), detail });
    }
    let message = match started.len() {
        0 => "no workflow is triggered".to_owned(),
        _ => format!("triggered: {}", started.join(", ")),
    };
    let arrival = arrival::of(event, context, &correlations, &scope, &data).await?;
    if arrival.emit.is_empty() {
        return Ok(Success { message, emit, steps, ..Success::default() });
    }
    let message = format!("{message}; {} steps waited for it", arrival.emit.len());
    emit.extend(arrival.emit);
    steps.extend(arrival.steps);
    once::commit(event, context, Vec::new(), Success { message, emit, steps, ..Success::default() }).await
}

/// Null where there is none, text as it is: an event of somebody else's need be neither Avro nor JSON.
async fn data(event: &Event, context: &Context<'_>) -> Result<Value, Failure> {
    if event.data().is_empty() {
        return Ok(Value::Null);
    }
    if event.content_type().is_some_and(is_text) {
        let text = std::str::from_utf8(event.data());
        return text.map(Value::from).map_err(|error| Failure::poison("undecodable", error));
    }
    context.services.codec.decode_json(event).await
}

/// What the workflow is started with; `None` if it is not to be.
fn input(
    definition: &Definition,
    trigger: &Trigger,
    scope: &Scope,
    data: &Value,
) -> Result<Option<Value>, Failure> {
    let failed = |error| Failure::permanent("trigger_failed", format!("workflow {}: {error}", definition.name));
    if let Some(when) = &trigger.when
        && !scope.decide(when).map_err(failed)?
    {
        return Ok(None);
    }
    let input = trigger.input.as_ref().map(|template| template.fill(scope)).transpose().map_err(failed)?;
    Ok(Some(input.unwrap_or_else(|| data.clone())))
}
