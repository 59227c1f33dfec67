//! `workflow.completed`: a run has done all of its steps.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowCompletedEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowCompleted {
    /// Name of the workflow's definition.
    pub workflow: String,
    pub version: i32,
    /// Id of the run.
    pub workflow_id: String,
    /// What the run gives, JSON.
    pub output: String,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for WorkflowCompleted {
    const EVENT_TYPE: &'static str = "workflow.completed";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowCompletedEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_COMPLETED;
}

impl Encodes<Self> for WorkflowCompleted {}
