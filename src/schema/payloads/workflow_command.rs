//! `workflow.command`: somebody steps into a run.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.WorkflowCommandEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowCommand {
    /// Id of the run.
    pub workflow_id: String,
    /// `cancel`, `retry`, `approve` or `reject`; others may come.
    pub action: String,
    /// That is approved or rejected.
    #[serde(default)]
    pub step: String,
    pub by: String,
    /// May be empty.
    pub reason: String,
}

impl Payload for WorkflowCommand {
    const EVENT_TYPE: &'static str = "workflow.command";
    const RECORD_NAME: &'static str = "org.coafi.events.WorkflowCommandEventPayload";
    const SCHEMA: &'static str = embedded::WORKFLOW_COMMAND;
}

impl Encodes<Self> for WorkflowCommand {}
