//! What has just happened to a run, and what follows.

use std::time::Duration;

use serde_json::{Value, json};

use super::settle::Settling;
use super::{Definition, Fault, Kind, Origin, Path, Run, RunStatus, StepStatus};

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An attempt of a step has ended.
    Finished { step: Path, attempt: u32, result: Result<Value, Fault> },
    /// Somebody has decided an approval.
    Decide { step: Path, approved: bool, by: String, reason: String },
    /// Somebody wants it to end.
    Cancel { fault: Fault },
    /// Nobody waits for this attempt any more, which undoes a step: it has failed, whatever the step's `retry` says.
    GiveUp { step: Path, attempt: u32, fault: Fault },
    /// Somebody wants an ended run to go on: what failed or was cancelled is tried again.
    Retry,
}

/// What is to be done next, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Try a step, this long from now.
    Run { step: Path, attempt: u32, delay: Duration },
    /// Start a run of another workflow, for whose end this attempt waits.
    Call { step: Path, attempt: u32, workflow: String, child: String, input: Value },
    /// Nobody waits for the end of this run any more.
    CancelChild { step: Path, child: String },
    /// Tell the world that the run has ended, as its state says.
    End,
}

/// What changed, for the audit trail.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub kind: ChangeKind,
    /// `None`: the run itself.
    pub step: Option<Path>,
    /// Of the step, else 0.
    pub attempt: u32,
    pub fault: Option<Fault>,
}

/// What can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    RunStarted,
    RunResumed,
    /// What it has done is undone, then it ends.
    RunCompensating,
    RunCompleted,
    RunFailed,
    RunCancelled,
    StepStarted,
    StepSucceeded,
    /// It failed and is tried again.
    StepRetried,
    StepFailed,
}

impl ChangeKind {
    /// The type of the outcome record's step.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunStarted => "WORKFLOW_STARTED",
            Self::RunResumed => "WORKFLOW_RESUMED",
            Self::RunCompensating => "WORKFLOW_COMPENSATING",
            Self::RunCompleted => "WORKFLOW_COMPLETED",
            Self::RunFailed => "WORKFLOW_FAILED",
            Self::RunCancelled => "WORKFLOW_CANCELLED",
            Self::StepStarted => "WORKFLOW_STEP_STARTED",
            Self::StepSucceeded => "WORKFLOW_STEP_SUCCEEDED",
            Self::StepRetried => "WORKFLOW_STEP_RETRIED",
            Self::StepFailed => "WORKFLOW_STEP_FAILED",
        }
    }
}

/// The state after, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Advanced {
    pub run: Run,
    pub commands: Vec<Command>,
    pub changes: Vec<Change>,
}

/// The input is not for this state: it came late, or twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("attempt {attempt} of step {step} is not awaited")]
    NotAwaited { step: Path, attempt: u32 },
    #[error("the run is {status}; allowed: {allowed}", status = status.name())]
    Status { status: RunStatus, allowed: &'static str },
    #[error("no approval is awaited at step {step}")]
    NoApproval { step: Path },
    #[error("what the run had done is undone; allowed: another run")]
    Compensated,
    #[error("the definition has no step {step}")]
    NoStep { step: Path },
}

/// A new run. Its input is one that the definition takes ([`Definition::input_errors`]).
#[must_use]
pub fn start(definition: &Definition, id: &str, input: Value) -> Advanced {
    start_from(definition, id, input, Origin::default())
}

/// As [`start`], of a run that follows from others.
#[must_use]
pub fn start_from(definition: &Definition, id: &str, input: Value, origin: Origin) -> Advanced {
    let run = Run {
        id: id.to_owned(),
        workflow: definition.name.clone(),
        version: definition.version,
        input,
        status: RunStatus::Running,
        steps: std::collections::BTreeMap::new(),
        output: Value::Null,
        fault: None,
        ends: 0,
        completions: 0,
        ends_as: None,
        caller: origin.caller,
        hops: origin.hops,
    };
    let mut settling = Settling::new(definition, run);
    settling.changed(ChangeKind::RunStarted, None, 0, None);
    settling.settle()
}

/// The next state of a run.
///
/// # Errors
/// [`Refused`]: the state stays as it is.
pub fn advance(definition: &Definition, run: &Run, input: Input) -> Result<Advanced, Refused> {
    let mut settling = Settling::new(definition, run.clone());
    match input {
        Input::Finished { step, attempt, result } => {
            if !run.awaits(&step, attempt) {
                return Err(Refused::NotAwaited { step, attempt });
            }
            let Some(defined) = definition.step_at(&step) else { return Err(Refused::NoStep { step }) };
            match result {
                result if step.is_undo() => settling.undone(defined, &step, result),
                Ok(output) => settling.succeed(&step, output),
                Err(fault) => settling.attempt_failed(defined, &step, fault),
            }
        }
        Input::Decide { step, approved, by, reason } => {
            let state = run.steps.get(&step).filter(|state| run.awaits(&step, state.attempt));
            let is_approval = definition.step(step.id()).is_some_and(|step| matches!(step.kind, Kind::Approval(_)));
            if state.is_none() || !is_approval {
                return Err(Refused::NoApproval { step });
            }
            if approved {
                settling.succeed(&step, json!({"approved": true, "by": by, "reason": reason}));
            } else {
                settling.fail(&step, Fault::new("rejected", format_args!("rejected by {by}: {reason}")));
            }
        }
        Input::Cancel { fault } => {
            if run.status != RunStatus::Running {
                return Err(Refused::Status { status: run.status, allowed: "running" });
            }
            settling.end(RunStatus::Cancelled, Some(fault));
        }
        Input::GiveUp { step, attempt, fault } => {
            if !step.is_undo() || !run.awaits(&step, attempt) {
                return Err(Refused::NotAwaited { step, attempt });
            }
            settling.undoing_ended(&step, Some(fault));
        }
        Input::Retry => {
            if !matches!(run.status, RunStatus::Failed | RunStatus::Cancelled) {
                return Err(Refused::Status { status: run.status, allowed: "failed, cancelled" });
            }
            // Steps that come after one that is undone have seen what is not there any more.
            if run.is_undone() {
                return Err(Refused::Compensated);
            }
            resume(&mut settling, definition);
        }
    }
    Ok(settling.settle())
}

/// What failed or was cancelled is tried again; containers are open again.
fn resume(settling: &mut Settling<'_>, definition: &Definition) {
    settling.resumed();
    let stopped: Vec<Path> = settling
        .run()
        .steps
        .iter()
        .filter(|(_, state)| matches!(state.status, StepStatus::Failed | StepStatus::Cancelled))
        .map(|(path, _)| path.clone())
        .collect();
    for path in stopped {
        if let Some(step) = definition.step(path.id()) {
            settling.again(step, &path);
        }
    }
}
