//! One change of a run: from the state before and after to the database and to derived events.

use std::sync::Arc;

use serde_json::{Value, json};

use super::events;
use crate::dispatch::{Context, Failure, NewEvent, Step, Success, once, registry_changes};
use crate::event::{Attribute, Event};
use crate::schema::payloads::WorkflowCalled;
use crate::store::{EntryChange, NewTimer, NewWait, RunChange, RunRecord, StepRecord, StoredRun};
use crate::workflow::{Advanced, Awaited, Change, Command, Definition, Path, Run, RunStatus, StepState, StepStatus};

/// A run as it was read, with the definition that it began with.
pub(super) struct Loaded {
    pub(super) stored: StoredRun,
    pub(super) run: Run,
    pub(super) definition: Arc<Definition>,
}

/// What a step's attempt does to the world, in the same transaction.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) changes: Vec<EntryChange>,
    pub(super) emit: Vec<NewEvent>,
}

/// The run of this id.
///
/// # Errors
/// Invalid: there is none; permanent: its row cannot be read.
pub(super) async fn load(context: &Context<'_>, workflow_id: &str) -> Result<Loaded, Failure> {
    let services = context.services;
    let Some(stored) = services.store.workflow_run(&context.fence.group, workflow_id).await? else {
        let message = format!("there is no run {workflow_id:?} of group {:?}", context.fence.group);
        return Err(Failure::invalid("no_such_run", message));
    };
    let run = serde_json::from_str(&stored.run.state).map_err(|error| Failure::permanent("run_unreadable", error))?;
    let current = services.workflows.get(&stored.run.workflow).filter(|current| current.digest == stored.run.digest);
    let definition = match current {
        Some(current) => Arc::clone(current),
        // The file has changed, or is gone: a run goes on with what it began with.
        None => {
            let parsed = Definition::parse(&stored.run.workflow, &stored.run.definition, None);
            Arc::new(parsed.map_err(|error| Failure::permanent("definition_unreadable", error))?)
        }
    };
    Ok(Loaded { stored, run, definition })
}

/// Writes the run's new state with what follows from it.
///
/// # Errors
/// As [`once::commit_run`].
pub(super) async fn commit(
    event: &Event,
    context: &Context<'_>,
    definition: &Definition,
    before: Option<&Loaded>,
    advanced: Advanced,
    effects: Effects,
) -> Result<Success, Failure> {
    let Advanced { run, commands, changes } = advanced;
    let Effects { changes: entries, mut emit } = effects;
    let (mut timers, mut cancels) = (Vec::new(), Vec::new());
    for command in &commands {
        match command {
            Command::Run { step, attempt, delay } if delay.is_zero() => {
                emit.push(events::step(&context.services.codec, &run.workflow, &run.id, run.hops, step, *attempt).await?);
            }
            Command::Run { step, attempt, delay } => timers.push(NewTimer {
                event_id: events::step_id(&run.id, step, *attempt),
                step: step.to_string(),
                attempt: *attempt,
                delay: *delay,
            }),
            Command::Call { step, attempt, workflow, child, input } => {
                let called = WorkflowCalled {
                    workflow: workflow.clone(),
                    workflow_id: child.clone(),
                    group: context.fence.group.clone(),
                    input: input.to_string(),
                    caller_workflow: run.workflow.clone(),
                    caller_id: run.id.clone(),
                    caller_step: step.to_string(),
                    caller_attempt: i32::try_from(*attempt).unwrap_or(i32::MAX),
                    utids: event.utids().map(str::to_owned).collect(),
                };
                emit.push(events::called(&context.services.codec, &called, run.hops).await?);
            }
            Command::CancelChild { step, child } => {
                let asked = events::no_longer_awaited(&run, step);
                emit.push(events::cancelled(&context.services.codec, &run, child, &asked).await?);
                cancels.push((child.clone(), asked));
            }
            Command::End => {
                let utids = event.utids().map(str::to_owned).collect();
                emit.push(events::ended(&context.services.codec, &run, utids).await?);
                emit.extend(events::told(&context.services.codec, &context.fence.group, &run).await?);
            }
        }
    }
    let success = Success {
        message: message(&run),
        data: json!({"workflow": run.workflow, "workflowId": run.id, "status": run.status}),
        steps: changes.iter().map(|change| audited(&run, change)).collect(),
        emit,
        ..Success::default()
    };
    let success = registry_changes::told(event, context, &entries, success).await?;
    let steps = step_records(definition, before.map(|loaded| &loaded.run), &run);
    let record = match before {
        Some(loaded) => loaded.stored.run.clone(),
        None => new_record(event, definition, &run),
    };
    let state = serde_json::to_string(&run).map_err(|error| Failure::permanent("run_not_json", error))?;
    let change = RunChange {
        run: RunRecord { status: run.status.name().to_owned(), state, ..record },
        expected_seq: before.map_or(0, |loaded| loaded.stored.seq),
        steps,
        timers,
        waits: waits(before.map(|loaded| &loaded.run), &run),
        cancels,
    };
    once::commit_run(event, context, entries, change, success).await
}

/// `None` if they are what they were.
fn waits(before: Option<&Run>, run: &Run) -> Option<Vec<NewWait>> {
    let all = |run: &Run| {
        let wait = |(path, attempt, awaited): (&Path, u32, &Awaited)| NewWait {
            step: path.to_string(),
            attempt,
            event_type: awaited.event_type.clone(),
            correlate: awaited.correlate.clone(),
            value: awaited.value.clone(),
        };
        run.waiting().map(wait).collect::<Vec<_>>()
    };
    let (were, are) = (before.map(all).unwrap_or_default(), all(run));
    (were != are).then_some(are)
}

/// Nothing follows from the event.
pub(super) fn nothing(workflow_id: &str, why: impl std::fmt::Display) -> Success {
    Success {
        message: format!("nothing is done: {why}"),
        data: json!({"workflowId": workflow_id}),
        ..Success::default()
    }
}

fn message(run: &Run) -> String {
    match run.status {
        RunStatus::Running => format!("{} {} goes on", run.workflow, run.id),
        RunStatus::Compensating => format!("what {} {} has done is undone", run.workflow, run.id),
        ended => format!("{} {} is {}", run.workflow, run.id, ended.name()),
    }
}

fn new_record(event: &Event, definition: &Definition, run: &Run) -> RunRecord {
    RunRecord {
        workflow_id: run.id.clone(),
        workflow: run.workflow.clone(),
        version: run.version,
        digest: definition.digest.clone(),
        definition: definition.text.to_string(),
        status: String::new(),
        state: String::new(),
        correlation_id: event.correlation_id().to_owned(),
        tenant_id: event.attribute(Attribute::TenantId).map(str::to_owned),
        utids: once::utids(event),
    }
}

/// A step of the outcome record.
fn audited(run: &Run, change: &Change) -> Step {
    let mut detail = json!({"workflow": run.workflow, "workflowId": run.id});
    if let Some(step) = &change.step {
        detail["step"] = step.as_str().into();
        detail["attempt"] = change.attempt.into();
    }
    if let Some(fault) = &change.fault {
        detail["error"] = json!({"code": fault.code, "message": fault.message, "errors": fault.errors});
    }
    Step { kind: change.kind.name().to_owned(), detail }
}

/// What is different now, attempt by attempt.
fn step_records(definition: &Definition, before: Option<&Run>, run: &Run) -> Vec<StepRecord> {
    let mut records = Vec::new();
    for (path, state) in &run.steps {
        let was = before.and_then(|before| before.steps.get(path));
        if was == Some(state) {
            continue;
        }
        if let Some(was) = was.filter(|was| was.attempt != state.attempt && was.status == StepStatus::Running) {
            let failed = StepState { status: StepStatus::Failed, fault: state.fault.clone(), ..was.clone() };
            records.push(record(definition, path, &failed));
        }
        records.push(record(definition, path, state));
    }
    records
}

fn record(definition: &Definition, path: &Path, state: &StepState) -> StepRecord {
    let is_running = state.status == StepStatus::Running;
    // A fault of the attempt before it is no fault of one that runs.
    let fault = state.fault.as_ref().filter(|_| !is_running);
    StepRecord {
        step: path.to_string(),
        attempt: state.attempt,
        kind: definition.step_at(path).map_or("unknown", |step| step.kind.name()).to_owned(),
        status: state.status.name().to_owned(),
        ended: !is_running,
        fault: fault.and_then(|fault| serde_json::to_string(fault).ok()),
    }
}

/// The attributes of an event, as triggers see them.
pub(super) fn attributes(event: &Event) -> Value {
    let all = Attribute::ALL.into_iter().map(|attribute| {
        (attribute.name().to_owned(), Value::from(event.attribute(attribute).unwrap_or_default()))
    });
    Value::Object(all.collect())
}
