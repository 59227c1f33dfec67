//! `workflow.step`: an attempt of a step is due.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowStepEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStep {
    /// Name of the workflow's definition.
    pub workflow: String,
    /// Id of the run.
    pub workflow_id: String,
    /// Its place in the run, e.g. `each[2]/check`.
    pub step: String,
    /// From 1.
    pub attempt: i32,
}

impl Payload for WorkflowStep {
    const EVENT_TYPE: &'static str = "workflow.step";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowStepEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_STEP;
}

impl Encodes<Self> for WorkflowStep {}
