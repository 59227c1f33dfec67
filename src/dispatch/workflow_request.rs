//! Asking for a workflow: the event `workflow.requested`, which handlers derive.

use serde_json::Value;

use super::{Context, Failure, NewEvent, artifact, once};
use crate::event::Event;
use crate::schema::Payload as _;
use crate::schema::payloads::WorkflowRequested;

const TOPIC: &str = "coafi.workflow";

/// A workflow that is to be started.
#[derive(Clone, Debug)]
pub struct WorkflowRequest<'a> {
    /// Name of its definition.
    pub workflow: &'a str,
    /// See [`id`].
    pub workflow_id: &'a str,
    pub input: Value,
    pub utids: Vec<String>,
    /// CloudEvents `source`: the handler that asks.
    pub source: &'a str,
    pub subject: Option<String>,
    /// Requests of one key are taken in order.
    pub key: String,
}

/// The workflow's id: the same whenever the event is handled again (I9), another for a redrive or a replay.
#[must_use]
pub fn id(workflow: &str, event: &Event, context: &Context<'_>) -> String {
    id_about(workflow, event, context, &[])
}

/// As [`id`], where an event asks for several runs of a workflow: each is about something else.
#[must_use]
pub fn id_about(workflow: &str, event: &Event, context: &Context<'_>, about: &[&str]) -> String {
    let run = once::run(event, context);
    let parts = [&[workflow, event.source(), event.id(), &run], about].concat();
    format!("wf-{}", artifact::digest(&parts))
}

/// The derived event. (That it was derived is a step of the outcome record by way of `Success::workflow_id`.)
///
/// # Errors
/// As [`crate::schema::Codec::encode`].
pub async fn event(context: &Context<'_>, request: WorkflowRequest<'_>) -> Result<NewEvent, Failure> {
    let requested = WorkflowRequested {
        workflow: request.workflow.to_owned(),
        workflow_id: request.workflow_id.to_owned(),
        input: request.input.to_string(),
        utids: request.utids,
    };
    Ok(NewEvent {
        topic: TOPIC.to_owned(),
        id: request.workflow_id.to_owned(),
        source: request.source.to_owned(),
        event_type: WorkflowRequested::EVENT_TYPE.to_owned(),
        subject: request.subject,
        workflow_hops: None,
        tenant: None,
        key: request.key,
        data: context.services.codec.encode(TOPIC, &requested).await?,
    })
}
