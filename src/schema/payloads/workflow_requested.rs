//! `workflow.requested`: a handler asks for a workflow to be started.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowRequestedEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRequested {
    /// Name of the workflow's definition.
    pub workflow: String,
    /// Id of the run: derived from the event that caused it, so that asking twice starts one.
    pub workflow_id: String,
    /// The workflow's input, a JSON object.
    pub input: String,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for WorkflowRequested {
    const EVENT_TYPE: &'static str = "workflow.requested";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowRequestedEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_REQUESTED;
}

impl Encodes<Self> for WorkflowRequested {}
