//! What a workflow is, checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::generate::Generate;
use super::notify::Notify;
use super::{Block, Path, Template};
use crate::expression::Expression;
use crate::schema::Shape;

/// A workflow as its file defines it.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    pub version: u32,
    pub description: String,
    /// What runs must be started with.
    pub input: Arc<Shape>,
    /// What it needs besides: what its file declares, and what its steps show.
    pub dependencies: BTreeSet<String>,
    /// Events that start a run.
    pub triggers: Vec<Trigger>,
    pub steps: Block,
    /// What a run gives; else the outputs of its outermost steps.
    pub output: Option<Template>,
    /// The text that it was parsed from: a run goes on with what it began with.
    pub text: Arc<str>,
    /// First 16 hexadecimal digits of the text's SHA-256.
    pub digest: String,
}

/// An event that starts a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    pub event_type: String,
    pub when: Option<Expression>,
    /// Else the event's data.
    pub input: Option<Template>,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    pub id: String,
    /// Ids of the steps in the same block that must have succeeded.
    pub after: Vec<String>,
    pub retry: Retry,
    /// Of one attempt.
    pub timeout: Option<Duration>,
    pub kind: Kind,
    /// What undoes it, if its run fails or is cancelled after it has succeeded.
    pub compensate: Option<Box<Self>>,
}

/// How often a step is tried, and how long it is waited between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first one included.
    pub attempts: u32,
    pub initial: Duration,
    pub cap: Duration,
}

impl Retry {
    /// The wait after this many failures.
    #[must_use]
    pub fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(u32::BITS - 1);
        self.initial.saturating_mul(1_u32 << doublings).min(self.cap)
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Its output is the filled-in value.
    Transform(Template),
    Validate(Validate),
    Emit(Emit),
    RegistryUpdate(RegistryUpdate),
    RegistryRead(RegistryRead),
    Http(Http),
    Notify(Notify),
    Generate(Generate),
    /// Succeeds once this has passed.
    Wait(Duration),
    WaitFor(WaitFor),
    Call(Call),
    Approval(Approval),
    Switch(Switch),
    Parallel(Block),
    ForEach(ForEach),
}

/// Fails with the errors of a value that its JSON Schema refuses.
#[derive(Clone, Debug)]
pub struct Validate {
    pub value: Template,
    pub schema: Arc<Shape>,
}

/// Publishes an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit {
    pub topic: String,
    pub event_type: String,
    pub subject: Option<Template>,
    /// Else the run's id.
    pub key: Option<Template>,
    pub data: Template,
}

/// Writes a registry entry.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryUpdate {
    pub registry: Template,
    pub entry: Template,
    /// Null deletes.
    pub data: Template,
    pub expected_version: Option<Template>,
}

/// Reads a registry entry; its output is `{found, version, data}`.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryRead {
    pub registry: Template,
    pub entry: Template,
}

/// Posts an event to an endpoint of the configuration; its output is what that answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub endpoint: String,
    pub event_type: String,
    pub data: Template,
}

/// Waits for an event that has something in common with the run; its output is the event. Fails when none has come in time.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    pub event_type: String,
    /// Over the event ...
    pub correlate: Expression,
    /// ... gives what this gives over the run: a text, a number or true and false.
    pub equals: Template,
    pub within: Duration,
}

/// Starts a run of another workflow and waits for its end; its output is that of the run. Fails when the run does.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub workflow: String,
    pub input: Template,
    /// It has not ended by then: a failure, and it is cancelled.
    pub within: Option<Duration>,
    /// Of the step in its file, since the workflow is looked for when all files are read.
    pub line: u64,
}

/// Waits until a person has decided; a rejection fails the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// What is to be decided.
    pub message: Template,
    /// Nobody has decided by then: a failure.
    pub within: Option<Duration>,
}

/// Does the steps of the first case that is true.
#[derive(Clone, Debug)]
pub struct Switch {
    pub cases: Vec<Case>,
    pub otherwise: Option<Block>,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub when: Expression,
    pub steps: Block,
}

/// Does its steps for each item, all rounds at once.
#[derive(Clone, Debug)]
pub struct ForEach {
    pub items: Expression,
    /// More items are a failure.
    pub max: usize,
    pub steps: Block,
}

impl Definition {
    /// Topics that its steps emit to.
    pub fn emits(&self) -> impl Iterator<Item = &str> {
        self.steps.all_and_undoing().filter_map(|step| match &step.kind {
            Kind::Emit(emit) => Some(emit.topic.as_str()),
            _ => None,
        })
    }

    /// The step of this id, wherever it is.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.find(id)
    }

    /// What is done at this place of a run: the step, or what undoes it.
    #[must_use]
    pub fn step_at(&self, path: &Path) -> Option<&Step> {
        let step = self.step(path.id())?;
        if path.is_undo() { step.compensate.as_deref() } else { Some(step) }
    }

    /// What is wrong with this input; empty if nothing is.
    #[must_use]
    pub fn input_errors(&self, input: &Value) -> Vec<String> {
        self.input.errors(input)
    }
}

impl Kind {
    /// The name of steps that people decide.
    pub const APPROVAL: &'static str = "approval";

    /// The key of a step that says so.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transform(_) => "transform",
            Self::Validate(_) => "validate",
            Self::Emit(_) => "emit",
            Self::RegistryUpdate(_) => "registry_update",
            Self::RegistryRead(_) => "registry_read",
            Self::Http(_) => "http",
            Self::Notify(_) => "notify",
            Self::Generate(_) => "generate",
            Self::Wait(_) => "wait",
            Self::WaitFor(_) => "wait_for",
            Self::Call(_) => "call",
            Self::Approval(_) => Self::APPROVAL,
            Self::Switch(_) => "switch",
            Self::Parallel(_) => "parallel",
            Self::ForEach(_) => "for_each",
        }
    }

    /// The blocks within it, in the order of the file.
    #[must_use]
    pub fn blocks(&self) -> Vec<&Block> {
        match self {
            Self::Switch(switch) => switch.cases.iter().map(|case| &case.steps).chain(&switch.otherwise).collect(),
            Self::Parallel(block) | Self::ForEach(ForEach { steps: block, .. }) => vec![block],
            _ => Vec::new(),
        }
    }

    /// What it reads, not counting the steps within it.
    pub(super) fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Transform(value) | Self::Validate(Validate { value, .. }) => value.expressions(),
            Self::Emit(emit) => {
                let parts = [emit.subject.as_ref(), emit.key.as_ref(), Some(&emit.data)];
                parts.into_iter().flatten().flat_map(Template::expressions).collect()
            }
            Self::RegistryUpdate(update) => {
                let RegistryUpdate { registry, entry, data, expected_version } = update;
                let parts = [Some(registry), Some(entry), Some(data), expected_version.as_ref()];
                parts.into_iter().flatten().flat_map(Template::expressions).collect()
            }
            Self::RegistryRead(read) => {
                [&read.registry, &read.entry].into_iter().flat_map(Template::expressions).collect()
            }
            Self::Http(http) => http.data.expressions(),
            Self::Notify(notify) => notify.expressions(),
            Self::Generate(generate) => generate.name.expressions(),
            Self::Switch(switch) => switch.cases.iter().map(|case| &case.when).collect(),
            Self::ForEach(each) => vec![&each.items],
            Self::Approval(approval) => approval.message.expressions(),
            Self::WaitFor(wait) => wait.equals.expressions(),
            Self::Call(call) => call.input.expressions(),
            Self::Wait(_) | Self::Parallel(_) => Vec::new(),
        }
    }
}
