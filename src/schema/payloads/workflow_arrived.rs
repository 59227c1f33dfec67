//! `workflow.arrived`: what a workflow's step waits for is there.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowArrivedEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowArrived {
    /// Name of the workflow's definition.
    pub workflow: String,
    /// Id of the run that waits.
    pub workflow_id: String,
    /// The consumer group whose run it is: to others that take the topic this says nothing.
    pub group: String,
    /// The step's place in the run.
    pub step: String,
    /// From 1.
    pub attempt: i32,
    /// What the step gives, JSON; null where it fails.
    pub output: String,
    /// Why it fails; empty if it does not.
    #[serde(default)]
    pub code: String,
    /// Why it fails, in words.
    #[serde(default)]
    pub message: String,
}

impl Payload for WorkflowArrived {
    const EVENT_TYPE: &'static str = "workflow.arrived";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowArrivedEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_ARRIVED;
}

impl Encodes<Self> for WorkflowArrived {}
