//! `drill.step`: what the handler `drill` is to do.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.DrillStepEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillStep {
    /// What the events of one sequence have in common; the record's key too.
    pub key: String,
    /// Place of the event within its key, rising.
    pub sequence: i64,
    /// How the first attempts fail.
    pub action: DrillAction,
    /// How many attempts fail, from the first on.
    #[serde(default)]
    pub times: i32,
    /// A successful attempt derives one event.
    #[serde(default)]
    pub emit: bool,
    /// A successful attempt writes the registry entry of the key.
    #[serde(default)]
    pub write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillAction {
    Ok,
    Transient,
    Permanent,
    Panic,
    /// Outlives every deadline.
    Hang,
    /// Aborts the process.
    Kill,
}

impl Payload for DrillStep {
    const EVENT_TYPE: &'static str = "drill.step";
    const RECORD_NAME: &'static str = "org.coafi.events.DrillStepEventPayload";
    const SCHEMA: &'static str = embedded::DRILL_STEP;
}

impl Encodes<Self> for DrillStep {}
