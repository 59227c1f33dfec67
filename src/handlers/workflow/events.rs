//! The events that a run derives. Their ids follow from the run alone (I9).

use crate::dispatch::{Failure, NewEvent};
use crate::schema::payloads::{WorkflowCompleted, WorkflowFailed, WorkflowStep};
use crate::schema::{Codec, Payload};
use crate::workflow::{Path, Run, RunStatus};

/// Where everything about runs is.
pub const TOPIC: &str = "coafi.workflow";

/// CloudEvents `source` of what a workflow's runs derive.
#[must_use]
pub fn source(workflow: &str) -> String {
    format!("/coafi/workflows/{workflow}")
}

/// Id of the event that says that an attempt is due.
#[must_use]
pub fn step_id(workflow_id: &str, step: &Path, attempt: u32) -> String {
    format!("{workflow_id}/{step}/{attempt}")
}

/// An attempt is due.
///
/// # Errors
/// As [`Codec::encode`].
pub async fn step(
    codec: &Codec,
    workflow: &str,
    workflow_id: &str,
    step: &Path,
    attempt: u32,
) -> Result<NewEvent, Failure> {
    let due = WorkflowStep {
        workflow: workflow.to_owned(),
        workflow_id: workflow_id.to_owned(),
        step: step.to_string(),
        attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
    };
    about(codec, workflow, workflow_id, step_id(workflow_id, step, attempt), &due).await
}

/// The run has ended, as its state says.
pub(super) async fn ended(codec: &Codec, run: &Run, utids: Vec<String>) -> Result<NewEvent, Failure> {
    let version = i32::try_from(run.version).unwrap_or(i32::MAX);
    let (workflow, workflow_id) = (run.workflow.clone(), run.id.clone());
    let id = format!("{workflow_id}/ended/{}", run.ends);
    if run.status == RunStatus::Completed {
        let output = run.output.to_string();
        let completed = WorkflowCompleted { workflow, version, workflow_id, output, utids };
        return about(codec, &run.workflow, &run.id, id, &completed).await;
    }
    let fault = run.fault.as_ref();
    let failed = WorkflowFailed {
        workflow,
        version,
        workflow_id,
        status: run.status.name().to_owned(),
        step: fault.and_then(|fault| fault.step.as_ref()).map(ToString::to_string).unwrap_or_default(),
        code: fault.map(|fault| fault.code.clone()).unwrap_or_default(),
        message: fault.map(|fault| fault.message.clone()).unwrap_or_default(),
        utids,
    };
    about(codec, &run.workflow, &run.id, id, &failed).await
}

async fn about<T: Payload>(
    codec: &Codec,
    workflow: &str,
    workflow_id: &str,
    id: String,
    payload: &T,
) -> Result<NewEvent, Failure> {
    Ok(NewEvent {
        topic: TOPIC.to_owned(),
        id,
        source: source(workflow),
        event_type: T::EVENT_TYPE.to_owned(),
        subject: Some(workflow.to_owned()),
        // Everything about a run is in order.
        key: workflow_id.to_owned(),
        data: codec.encode(TOPIC, payload).await?,
    })
}
