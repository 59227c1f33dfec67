//! The state of one run, as it is kept between two events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Awaited, Caller, Path};

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
    /// How many steps have succeeded; the next one to do so has this number.
    #[serde(default)]
    pub completions: u32,
    /// How it will have ended once what it has done is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_as: Option<RunStatus>,
    /// Who waits for its end, if anybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// Runs that led to it, each by starting the next.
    #[serde(default)]
    pub hops: u32,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    /// It has failed or was cancelled, and what it has done is undone.
    Compensating,
    Completed,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub const ALL: [Self; 5] = [Self::Running, Self::Compensating, Self::Completed, Self::Failed, Self::Cancelled];

    /// As JSON and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
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
    /// Its number among those that have succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<u32>,
    /// Of a `switch`: the case that was taken, by its number; the last one is `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<usize>,
    /// Of a `wait_for`: the event that ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<Awaited>,
    /// Of a `call`: id of the run that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// Of a `for_each`: one per round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Value>>,
}

impl StepState {
    /// Its first attempt is awaited.
    pub(super) const fn first() -> Self {
        Self {
            status: StepStatus::Running,
            attempt: 1,
            earlier_attempts: 0,
            output: Value::Null,
            fault: None,
            completion: None,
            case: None,
            awaited: None,
            child: None,
            items: None,
        }
    }
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
    /// The code of what has not happened in time.
    pub const TIMEOUT: &'static str = "timeout";

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
    /// Whether something that it has done was undone, or is: then it is over.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.steps.keys().any(Path::is_undo)
    }

    /// The steps that wait for an event, with the attempt.
    pub fn waiting(&self) -> impl Iterator<Item = (&Path, u32, &Awaited)> {
        self.steps.iter().filter_map(|(path, state)| {
            let awaited = state.awaited.as_ref().filter(|_| self.awaits(path, state.attempt));
            Some((path, state.attempt, awaited?))
        })
    }

    /// Whether exactly this attempt is awaited. Anything else is over, or of somebody else.
    #[must_use]
    pub fn awaits(&self, path: &Path, attempt: u32) -> bool {
        let state = self.steps.get(path);
        let is_its_time = match self.status {
            RunStatus::Running => !path.is_undo(),
            RunStatus::Compensating => path.is_undo(),
            RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => false,
        };
        is_its_time && state.is_some_and(|state| state.status == StepStatus::Running && state.attempt == attempt)
    }
}
