//! `POST /workflow/start`: asks for a workflow. That is all of its effect, so nothing is written to the database: asking
//! again derives the same event.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{SOURCE, check_name};
use crate::dispatch::workflow_request::{self, WorkflowRequest};
use crate::dispatch::{Context, Failure, Reply, Success};
use crate::event::Event;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    #[serde(default)]
    workflow_name: String,
    #[serde(default)]
    input_payload: Map<String, Value>,
}

pub(super) async fn handle(event: &Event, context: &Context<'_>, start: Start) -> Result<Success, Failure> {
    check_name("workflowName", &start.workflow_name)?;
    let workflow = start.workflow_name;
    let workflow_id = workflow_request::id(&workflow, event, context);
    let requested = WorkflowRequest {
        workflow: &workflow,
        workflow_id: &workflow_id,
        input: Value::Object(start.input_payload),
        utids: event.utids().map(str::to_owned).collect(),
        source: SOURCE,
        subject: Some(workflow.clone()),
        key: workflow_id.clone(),
    };
    let answer = json!({"workflowName": workflow, "workflowId": workflow_id});
    Ok(Success {
        message: format!("{workflow} is asked for"),
        emit: vec![workflow_request::event(context, requested).await?],
        workflow_id: Some(workflow_id),
        reply: Some(Reply { status: 200, body: answer }),
        ..Success::default()
    })
}
