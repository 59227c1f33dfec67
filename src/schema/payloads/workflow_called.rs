//! `workflow.called`: a workflow's step starts a run of another workflow.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowCalledEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowCalled {
    /// Name of the definition of the workflow that is called.
    pub workflow: String,
    /// Id of the run: derived from the step and its attempt, so that calling twice starts one.
    pub workflow_id: String,
    /// The consumer group whose run calls: others that take the topic start none.
    pub group: String,
    /// The workflow's input, JSON.
    pub input: String,
    /// Name of the definition of the workflow that calls.
    pub caller_workflow: String,
    /// Id of the run that calls.
    pub caller_id: String,
    /// The step that waits, as it stands in its run.
    pub caller_step: String,
    /// The attempt that waits, from 1.
    pub caller_attempt: i32,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for WorkflowCalled {
    const EVENT_TYPE: &'static str = "workflow.called";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowCalledEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_CALLED;
}

impl Encodes<Self> for WorkflowCalled {}
