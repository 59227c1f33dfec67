//! The events that a run derives. Their ids follow from the run alone (I9).

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::CANCEL;
use crate::dispatch::{Context, Failure, NewEvent, once};
use crate::event::Event;
use crate::schema::payloads::{
    WorkflowArrived, WorkflowCalled, WorkflowCommand, WorkflowCompleted, WorkflowFailed, WorkflowStep,
};
use crate::schema::{Codec, Payload};
use crate::store::CancelAsked;
use crate::workflow::{Caller, Fault, Path, Run, RunStatus};

/// Of a workflow and an id that are none.
const NAME_CHARS_MAX: usize = 200;
/// The `status` of `workflow.failed` where there is no run.
pub const START_FAILED: &str = "start_failed";
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
    hops: u32,
    step: &Path,
    attempt: u32,
) -> Result<NewEvent, Failure> {
    let due = WorkflowStep {
        workflow: workflow.to_owned(),
        workflow_id: workflow_id.to_owned(),
        step: step.to_string(),
        attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
    };
    let run = About { workflow, workflow_id, hops: Some(hops) };
    about(codec, run, step_id(workflow_id, step, attempt), &due).await
}

/// A step starts a run of another workflow. Groups that take the same topic have each its own event.
pub(super) async fn called(codec: &Codec, called: &WorkflowCalled, hops: u32) -> Result<NewEvent, Failure> {
    let of_child = About { workflow: &called.workflow, workflow_id: &called.workflow_id, hops: Some(hops) };
    about(codec, of_child, format!("{}/{}", called.workflow_id, called.group), called).await
}

/// Nobody waits any more for the end of a run that this step has started.
pub(super) fn no_longer_awaited(run: &Run, step: &Path) -> CancelAsked {
    let reason = format!("step {step} of run {}, which called it, does not wait any more", run.id);
    CancelAsked { by: source(&run.workflow), reason }
}

/// A run that this one has started is to end.
pub(super) async fn cancelled(
    codec: &Codec,
    run: &Run,
    child: &str,
    asked: &CancelAsked,
) -> Result<NewEvent, Failure> {
    let command = WorkflowCommand {
        workflow_id: child.to_owned(),
        action: CANCEL.to_owned(),
        step: String::new(),
        by: asked.by.clone(),
        reason: asked.reason.clone(),
    };
    let of_child = About { workflow: &run.workflow, workflow_id: child, hops: Some(run.hops) };
    about(codec, of_child, format!("{child}/cancel/{}/{}", run.id, run.ends), &command).await
}

/// To the step that waits for the run's end, if one does.
pub(super) async fn told(codec: &Codec, group: &str, run: &Run) -> Result<Option<NewEvent>, Failure> {
    let Some(caller) = &run.caller else { return Ok(None) };
    let result = match run.status {
        RunStatus::Completed => Ok(run.output.clone()),
        status => {
            let why = run.fault.as_ref().map(|fault| format!(": {}: {}", fault.code, fault.message));
            let message = format!("{} {} is {}{}", run.workflow, run.id, status.name(), why.unwrap_or_default());
            Err(Fault::new("call_failed", message))
        }
    };
    arrived(codec, group, caller, &format!("ended/{}/{}", run.id, run.ends), &result).await.map(Some)
}

/// What a step of the group's run waits for is there. `about_what`: what that is, since several may come.
pub(super) async fn arrived(
    codec: &Codec,
    group: &str,
    waiting: &Caller,
    about_what: &str,
    result: &Result<Value, Fault>,
) -> Result<NewEvent, Failure> {
    let Caller { workflow, workflow_id, step, attempt } = waiting;
    let (output, code, message) = match result {
        Ok(output) => (output.to_string(), String::new(), String::new()),
        Err(fault) => (Value::Null.to_string(), fault.code.clone(), fault.message.clone()),
    };
    let arrived = WorkflowArrived {
        workflow: workflow.clone(),
        workflow_id: workflow_id.clone(),
        group: group.to_owned(),
        step: step.to_string(),
        attempt: i32::try_from(*attempt).unwrap_or(i32::MAX),
        output,
        code,
        message,
    };
    let id = format!("{}/{about_what}/{group}", step_id(workflow_id, step, *attempt));
    // How many runs led to the one that waits is in its state.
    about(codec, About { workflow, workflow_id, hops: None }, id, &arrived).await
}

/// Of several texts, 16 hexadecimal digits.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The run has ended, as its state says.
pub(super) async fn ended(codec: &Codec, run: &Run, utids: Vec<String>) -> Result<NewEvent, Failure> {
    let version = i32::try_from(run.version).unwrap_or(i32::MAX);
    let (workflow, workflow_id) = (run.workflow.clone(), run.id.clone());
    let id = format!("{workflow_id}/ended/{}", run.ends);
    let of_run = About { workflow: &run.workflow, workflow_id: &run.id, hops: Some(run.hops) };
    if run.status == RunStatus::Completed {
        let output = run.output.to_string();
        let completed = WorkflowCompleted { workflow, version, workflow_id, output, utids };
        return about(codec, of_run, id, &completed).await;
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
    about(codec, of_run, id, &failed).await
}

/// A run that was asked for did not begin. The event that asked for it may be redriven, and fail again: then this is said again.
/// Groups that take the same topic have each its own event.
pub(super) async fn not_started(
    event: &Event,
    context: &Context<'_>,
    workflow: &str,
    workflow_id: &str,
    code: &str,
) -> Result<NewEvent, Failure> {
    // Whoever asked wrote these, and they become headers: a record that no broker takes would stop everything.
    let name = |text: &str| text.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect::<String>();
    let (workflow, workflow_id) = (&*name(workflow), &*name(workflow_id));
    let workflow = if workflow.is_empty() { "unnamed" } else { workflow };
    let workflow_id = if workflow_id.is_empty() { "unnamed" } else { workflow_id };
    let failed = WorkflowFailed {
        workflow: workflow.to_owned(),
        version: 0,
        workflow_id: workflow_id.to_owned(),
        status: START_FAILED.to_owned(),
        step: String::new(),
        code: code.to_owned(),
        message: "it could not be started; the dead letter of its request says why".to_owned(),
        utids: event.utids().map(str::to_owned).collect(),
    };
    let digest = digest(&[event.source(), event.id(), &context.fence.group, &once::run(event, context)]);
    let of_run = About { workflow, workflow_id, hops: None };
    about(&context.services.codec, of_run, format!("{workflow_id}/{START_FAILED}/{digest}"), &failed).await
}

/// The run that an event is about, and how many led to it; `None`: as many as led to the handled event.
struct About<'a> {
    workflow: &'a str,
    workflow_id: &'a str,
    hops: Option<u32>,
}

async fn about<T: Payload>(codec: &Codec, run: About<'_>, id: String, payload: &T) -> Result<NewEvent, Failure> {
    let About { workflow, workflow_id, hops } = run;
    Ok(NewEvent {
        topic: TOPIC.to_owned(),
        id,
        source: source(workflow),
        event_type: T::EVENT_TYPE.to_owned(),
        subject: Some(workflow.to_owned()),
        // Everything about a run is in order.
        key: workflow_id.to_owned(),
        workflow_hops: hops,
        tenant: None,
        data: codec.encode(TOPIC, payload).await?,
    })
}
