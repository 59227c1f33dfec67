//! Which runs wait for an event. Those whose step had begun when it is handled: what came before is not kept for them.

use serde_json::{Value, json};

use super::{events, turn};
use crate::dispatch::{Context, Failure, NewEvent, Step};
use crate::event::{Attribute, Event};
use crate::expression::Expression;
use crate::store::WaitingStep;
use crate::workflow::{Caller, Fault, Path, Scope, correlation};

/// Expressions by which runs wait for one type.
const CORRELATIONS_MAX: u32 = 100;
/// Runs that one event takes on.
const RUNS_MAX: u32 = 500;
/// Of the event as JSON: every run that waits for it gets one.
const EVENT_BYTES_MAX: usize = 256 * 1024;
/// What such an expression sees: the event's attributes and its data.
pub(super) const VARIABLES: [&str; 2] = ["event", "data"];

/// What becomes of an event by way of those that wait for it.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    pub(super) emit: Vec<NewEvent>,
    pub(super) steps: Vec<Step>,
}

/// By what runs wait for events of this type, the texts of expressions.
///
/// # Errors
/// As the store; permanent: there are too many.
pub(super) async fn correlations(event: &Event, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let (store, group) = (&context.services.store, &context.fence.group);
    let found = store.awaited_correlations(group, event.event_type(), CORRELATIONS_MAX + 1).await?;
    if found.len() > CORRELATIONS_MAX as usize {
        let message = format!("runs wait by more than {CORRELATIONS_MAX} expressions; allowed: at most that");
        return Err(Failure::permanent("too_many_correlations", message).about(event.event_type()));
    }
    Ok(found)
}

/// An event for each step that waits for this one.
///
/// # Errors
/// As the store; permanent: there are too many.
pub(super) async fn of(
    event: &Event,
    context: &Context<'_>,
    correlations: &[String],
    scope: &Scope,
    data: &Value,
) -> Result<Arrival, Failure> {
    let mut arrival = Arrival::default();
    for text in correlations {
        // What an expression does not find in an event, this event does not have in common with a run.
        let expression = Expression::compile(text, &VARIABLES);
        let Some(value) = expression.and_then(|expression| scope.value(&expression)).ok().as_ref().and_then(correlation)
        else {
            continue;
        };
        let (store, group) = (&context.services.store, &context.fence.group);
        let waiting = store.waiting_steps(group, event.event_type(), text, &value, RUNS_MAX + 1).await?;
        if waiting.len() + arrival.emit.len() > RUNS_MAX as usize {
            let message = format!("more than {RUNS_MAX} steps wait for this event; allowed: at most that");
            return Err(Failure::permanent("too_many_waiting", message));
        }
        for step in waiting {
            let detail = json!({"workflow": step.workflow, "workflowId": step.workflow_id, "step": step.step});
            arrival.emit.push(arrived(event, context, step, data).await?);
            arrival.steps.push(Step { kind: "WORKFLOW_EVENT_ARRIVED".to_owned(), detail });
        }
    }
    Ok(arrival)
}

async fn arrived(event: &Event, context: &Context<'_>, step: WaitingStep, data: &Value) -> Result<NewEvent, Failure> {
    let attributes = turn::attributes(event);
    let output = json!({
        "id": event.id(),
        "source": event.source(),
        "type": event.event_type(),
        "time": attributes[Attribute::Time.name()],
        "subject": attributes[Attribute::Subject.name()],
        "data": data,
    });
    let bytes = output.to_string().len();
    let result = if bytes <= EVENT_BYTES_MAX {
        Ok(output)
    } else {
        let message = format!("the event has {bytes} bytes as JSON; allowed: at most {EVENT_BYTES_MAX}");
        Err(Fault::new("event_too_large", message))
    };
    let WaitingStep { workflow, workflow_id, step, attempt } = step;
    let waiting = Caller { workflow, workflow_id, step: Path::of(&step), attempt };
    let about = events::digest(&[event.source(), event.id()]);
    events::arrived(&context.services.codec, &context.fence.group, &waiting, &format!("event/{about}"), &result).await
}
