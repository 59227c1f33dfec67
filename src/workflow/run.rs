//! The state of one run, as it is kept between two events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Path;

/// One run of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    pub id: String,
    /// Name of its definition.
    pub workflow: String,
    pub version: u32,
    pub input: Value,
    pub status: RunStatus,
    /// Steps that were started.
    pub steps: BTreeMap<Path, StepState>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Why it failed, or was cancelled, and at which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How often it has ended; a retry goes on after that.
    #[serde(default)]
    pub ends: u32,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As JSON and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepState {
    pub status: StepStatus,
    /// The attempt that is awaited, or was the last; from 1.
    pub attempt: u32,
    /// Attempts before those that its retry policy counts: of a run that was retried.
    #[serde(default)]
    pub earlier_attempts: u32,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// What the last attempt failed of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Of a `switch`: the case that was taken, by its number; the last one is `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<usize>,
    /// Of a `for_each`: one per round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Value>>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// An attempt is awaited; of a container: steps within it are.
    Running,
    Succeeded,
    Failed,
    /// It was not done when its run ended.
    Cancelled,
}

impl StepStatus {
    /// As JSON and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an attempt, a step or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// A short constant, snake_case.
    pub code: String,
    pub message: String,
    /// Single errors, of a validation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// The step, of a run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Path>,
}

impl Fault {
    #[must_use]
    pub fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string(), errors: Vec::new(), step: None }
    }

    pub(super) fn at(mut self, path: &Path) -> Self {
        self.step = Some(path.clone());
        self
    }
}

impl Run {
    /// Whether exactly this attempt is awaited. Anything else is over, or of somebody else.
    #[must_use]
    pub fn awaits(&self, path: &Path, attempt: u32) -> bool {
        let state = self.steps.get(path);
        self.status == RunStatus::Running
            && state.is_some_and(|state| state.status == StepStatus::Running && state.attempt == attempt)
    }
}
