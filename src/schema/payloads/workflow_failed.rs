//! `workflow.failed`: a run has failed, or was cancelled.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowFailedEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowFailed {
    /// Name of the workflow's definition.
    pub workflow: String,
    pub version: i32,
    /// Id of the run.
    pub workflow_id: String,
    /// `failed`, `cancelled`, or `start_failed` where there is no run: its request is a dead letter. Others may come.
    pub status: String,
    /// The step that failed; empty if it was none.
    pub step: String,
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for WorkflowFailed {
    const EVENT_TYPE: &'static str = "workflow.failed";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowFailedEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_FAILED;
}

impl Encodes<Self> for WorkflowFailed {}
