//! Goes on until nothing more follows: steps whose turn has come are started, containers whose steps are done are ended, and
//! so is the run.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::advance::{Advanced, Change, ChangeKind, Command};
use super::scope::Scope;
use super::{
    Approval, Block, Definition, Fault, ForEach, Kind, Path, Run, RunStatus, Step, StepState, StepStatus, Switch,
};
use crate::expression::ExpressionError;

/// Steps that one run starts, every round of a `for_each` counted.
pub(super) const RUN_STEPS_MAX: usize = 1_000;
/// Of a run's state as JSON: it is read and written with every step.
pub(super) const STATE_BYTES_MAX: usize = 512 * 1024;

/// A run between two states.
pub(super) struct Settling<'a> {
    pub(super) definition: &'a Definition,
    pub(super) run: Run,
    pub(super) commands: Vec<Command>,
    changes: Vec<Change>,
}

impl<'a> Settling<'a> {
    pub(super) const fn new(definition: &'a Definition, run: Run) -> Self {
        Self { definition, run, commands: Vec::new(), changes: Vec::new() }
    }

    pub(super) const fn run(&self) -> &Run {
        &self.run
    }

    pub(super) fn changed(&mut self, kind: ChangeKind, step: Option<&Path>, attempt: u32, fault: Option<&Fault>) {
        self.changes.push(Change { kind, step: step.cloned(), attempt, fault: fault.cloned() });
    }

    pub(super) fn settle(mut self) -> Advanced {
        let definition = self.definition;
        while self.run.status == RunStatus::Running {
            let before = self.changes.len();
            if self.visit(&definition.steps, None) {
                self.complete();
            }
            if self.changes.len() == before {
                break;
            }
        }
        Advanced { run: self.run, commands: self.commands, changes: self.changes }
    }

    /// Starts what can be started in a block; whether all of it has succeeded.
    fn visit(&mut self, block: &Block, container: Option<&Path>) -> bool {
        let mut succeeded = 0;
        for step in &block.steps {
            if self.run.status != RunStatus::Running {
                return false;
            }
            let path = within(container, &step.id);
            match self.run.steps.get(&path).map(|state| state.status) {
                Some(StepStatus::Succeeded) => succeeded += 1,
                Some(StepStatus::Running) => self.visit_within(step, &path),
                Some(StepStatus::Failed | StepStatus::Cancelled) => {}
                None => {
                    let is_done = |id: &String| {
                        let state = self.run.steps.get(&within(container, id));
                        state.is_some_and(|state| state.status == StepStatus::Succeeded)
                    };
                    if step.after.iter().all(is_done) {
                        self.begin(step, &path);
                    }
                }
            }
        }
        succeeded == block.steps.len()
    }

    /// Of a container that is open.
    fn visit_within(&mut self, step: &Step, path: &Path) {
        let Some(state) = self.run.steps.get(path) else { return };
        match &step.kind {
            Kind::Switch(switch) => {
                let Some(block) = state.case.and_then(|case| block_of(switch, case)) else { return };
                self.visit_only(block, path);
            }
            Kind::Parallel(block) => self.visit_only(block, path),
            Kind::ForEach(each) => {
                let rounds = state.items.as_ref().map_or(0, Vec::len);
                // Every round is visited, whether those before it are done or not.
                let done = (0..rounds).filter(|round| self.visit(&each.steps, Some(&path.round(*round)))).count();
                if done == rounds {
                    let outputs = (0..rounds).map(|round| self.outputs(&each.steps, &path.round(round))).collect();
                    self.succeed(path, Value::Array(outputs));
                }
            }
            _ => {}
        }
    }

    /// Of a container that is done when this block is.
    fn visit_only(&mut self, block: &Block, path: &Path) {
        if self.visit(block, Some(path)) {
            let output = self.outputs(block, path);
            self.succeed(path, output);
        }
    }

    /// What the steps of a block gave, by id.
    fn outputs(&self, block: &Block, container: &Path) -> Value {
        let output = |step: &Step| {
            let state = self.run.steps.get(&container.child(&step.id));
            (step.id.clone(), state.map_or(Value::Null, |state| state.output.clone()))
        };
        Value::Object(block.steps.iter().map(output).collect::<Map<_, _>>())
    }

    fn begin(&mut self, step: &Step, path: &Path) {
        if self.run.steps.len() >= RUN_STEPS_MAX {
            let message = format!("the run would have more than {RUN_STEPS_MAX} steps; allowed: at most that");
            self.end(RunStatus::Failed, Some(Fault::new("too_many_steps", message).at(path)));
            return;
        }
        self.run.steps.insert(path.clone(), StepState::first());
        self.changed(ChangeKind::StepStarted, Some(path), 1, None);
        match &step.kind {
            Kind::Switch(switch) => self.choose(switch, path),
            Kind::ForEach(each) => self.enumerate(each, path),
            Kind::Parallel(_) => {}
            _ => self.attempt(step, path, 1),
        }
    }

    /// What leads to the end of an attempt of a step that is no container.
    fn attempt(&mut self, step: &Step, path: &Path, attempt: u32) {
        match &step.kind {
            Kind::Wait(duration) => self.command(path, attempt, *duration),
            Kind::Approval(approval) => self.ask(approval, path, attempt),
            Kind::WaitFor(wait) => self.listen(wait, path, attempt),
            Kind::Call(call) => self.call(call, path, attempt),
            _ => self.command(path, attempt, Duration::ZERO),
        }
    }

    /// A person is asked; what is to be decided stands where the decision will.
    fn ask(&mut self, approval: &Approval, path: &Path, attempt: u32) {
        let message = match approval.message.fill(&Scope::of_step(self.definition, &self.run, path)) {
            Ok(message) => json!({"message": message}),
            Err(error) => return self.fail(path, expression_fault(&error)),
        };
        if let Err(fault) = self.room_for(&message) {
            return self.fail(path, fault);
        }
        if let Some(state) = self.run.steps.get_mut(path) {
            state.output = message;
        }
        if let Some(within) = approval.within {
            self.command(path, attempt, within);
        }
    }

    pub(super) fn command(&mut self, path: &Path, attempt: u32, delay: Duration) {
        self.commands.push(Command::Run { step: path.clone(), attempt, delay });
    }

    fn choose(&mut self, switch: &Switch, path: &Path) {
        let scope = Scope::of_step(self.definition, &self.run, path);
        for (index, case) in switch.cases.iter().enumerate() {
            match scope.decide(&case.when) {
                Ok(false) => {}
                Ok(true) => return self.take(path, index),
                Err(error) => return self.fail(path, expression_fault(&error)),
            }
        }
        match &switch.otherwise {
            Some(_) => self.take(path, switch.cases.len()),
            None => self.succeed(path, Value::Null),
        }
    }

    fn take(&mut self, path: &Path, case: usize) {
        if let Some(state) = self.run.steps.get_mut(path) {
            state.case = Some(case);
        }
    }

    fn enumerate(&mut self, each: &ForEach, path: &Path) {
        let items = match Scope::of_step(self.definition, &self.run, path).value(&each.items) {
            Ok(Value::Array(items)) => items,
            Ok(other) => {
                let message = format!("for_each.items gives {}; allowed: a list", brief(&other));
                return self.fail(path, Fault::new("not_a_list", message));
            }
            Err(error) => return self.fail(path, expression_fault(&error)),
        };
        if items.len() > each.max {
            let message = format!("for_each.items gives {} items; allowed: at most {}", items.len(), each.max);
            return self.fail(path, Fault::new("too_many_items", message));
        }
        if let Err(fault) = self.room_for(&items) {
            return self.fail(path, fault);
        }
        if let Some(state) = self.run.steps.get_mut(path) {
            state.items = Some(items);
        }
    }

    /// The attempt that is awaited has succeeded.
    pub(super) fn succeed(&mut self, path: &Path, output: Value) {
        if let Err(fault) = self.room_for(&output) {
            return self.fail(path, fault);
        }
        let Some(state) = self.run.steps.get_mut(path) else { return };
        (state.status, state.output, state.fault) = (StepStatus::Succeeded, output, None);
        state.completion = Some(self.run.completions);
        let attempt = state.attempt;
        self.run.completions += 1;
        self.changed(ChangeKind::StepSucceeded, Some(path), attempt, None);
    }

    pub(super) fn room_for(&self, value: &impl serde::Serialize) -> Result<(), Fault> {
        let bytes = |value: serde_json::Result<Vec<u8>>| value.map_or(0, |json| json.len());
        let all = bytes(serde_json::to_vec(&self.run)) + bytes(serde_json::to_vec(value));
        if all <= STATE_BYTES_MAX {
            return Ok(());
        }
        let message = format!("the run's state would have {all} bytes; allowed: at most {STATE_BYTES_MAX}");
        Err(Fault::new("state_too_large", message))
    }

    /// The attempt that is awaited has failed: there is another one, or the run fails.
    pub(super) fn attempt_failed(&mut self, step: &Step, path: &Path, fault: Fault) {
        if !self.retry(step, path, &fault) {
            self.fail(path, fault);
        }
    }

    /// Whether there is another attempt.
    pub(super) fn retry(&mut self, step: &Step, path: &Path, fault: &Fault) -> bool {
        let Some(state) = self.run.steps.get_mut(path) else { return false };
        let failures = state.attempt - state.earlier_attempts;
        if failures >= step.retry.attempts {
            return false;
        }
        let attempt = state.attempt;
        state.attempt += 1;
        state.fault = Some(fault.clone());
        self.changed(ChangeKind::StepRetried, Some(path), attempt, Some(fault));
        self.command(path, attempt + 1, step.retry.backoff(failures));
        true
    }

    /// A step has failed for good, and with it the run.
    pub(super) fn fail(&mut self, path: &Path, fault: Fault) {
        let Some(state) = self.run.steps.get_mut(path) else { return };
        (state.status, state.fault) = (StepStatus::Failed, Some(fault.clone()));
        let attempt = state.attempt;
        self.changed(ChangeKind::StepFailed, Some(path), attempt, Some(&fault));
        self.end(RunStatus::Failed, Some(fault.at(path)));
    }

    fn complete(&mut self) {
        let scope = Scope::of_run(&self.run);
        let output = match &self.definition.output {
            Some(template) => match template.fill(&scope) {
                Ok(output) => output,
                Err(error) => return self.end(RunStatus::Failed, Some(expression_fault(&error))),
            },
            None => {
                let outermost = self.definition.steps.steps.iter().map(|step| {
                    let state = self.run.steps.get(&Path::root(&step.id));
                    (step.id.clone(), state.map_or(Value::Null, |state| state.output.clone()))
                });
                Value::Object(outermost.collect())
            }
        };
        if let Err(fault) = self.room_for(&output) {
            return self.end(RunStatus::Failed, Some(fault));
        }
        self.run.output = output;
        self.end(RunStatus::Completed, None);
    }

    /// Ends the run: what was awaited is not any more.
    pub(super) fn end(&mut self, status: RunStatus, fault: Option<Fault>) {
        let called = self.called();
        for state in self.run.steps.values_mut().filter(|state| state.status == StepStatus::Running) {
            state.status = StepStatus::Cancelled;
        }
        self.commands.clear();
        self.commands.extend(called);
        if status != RunStatus::Completed && self.undo_all(status, fault.as_ref()) {
            return;
        }
        self.close(status, fault);
    }

    pub(super) fn close(&mut self, status: RunStatus, fault: Option<Fault>) {
        let kind = match status {
            RunStatus::Completed => ChangeKind::RunCompleted,
            RunStatus::Cancelled => ChangeKind::RunCancelled,
            RunStatus::Failed | RunStatus::Running | RunStatus::Compensating => ChangeKind::RunFailed,
        };
        self.changed(kind, None, 0, fault.as_ref());
        self.run.status = status;
        self.run.fault = fault;
        self.run.ends += 1;
        self.commands.push(Command::End);
    }

    /// The run goes on after its end.
    pub(super) fn resumed(&mut self) {
        self.run.status = RunStatus::Running;
        self.run.fault = None;
        self.changed(ChangeKind::RunResumed, None, 0, None);
    }

    /// A step that failed or was cancelled is tried again; a container that never opened is begun anew.
    pub(super) fn again(&mut self, step: &Step, path: &Path) {
        let Some(state) = self.run.steps.get_mut(path) else { return };
        let is_open = match &step.kind {
            Kind::Switch(_) => state.case.is_some(),
            Kind::ForEach(_) => state.items.is_some(),
            Kind::Parallel(_) => true,
            _ => {
                state.earlier_attempts = state.attempt;
                state.attempt += 1;
                state.status = StepStatus::Running;
                let attempt = state.attempt;
                self.changed(ChangeKind::StepStarted, Some(path), attempt, None);
                return self.attempt(step, path, attempt);
            }
        };
        if is_open {
            state.status = StepStatus::Running;
        } else {
            self.run.steps.remove(path);
        }
    }
}

fn within(container: Option<&Path>, id: &str) -> Path {
    container.map_or_else(|| Path::root(id), |container| container.child(id))
}

fn block_of(switch: &Switch, case: usize) -> Option<&Block> {
    switch.cases.get(case).map(|case| &case.steps).or(switch.otherwise.as_ref())
}

pub(super) fn expression_fault(error: &ExpressionError) -> Fault {
    Fault::new("expression_failed", error)
}

/// A value as a message shows it.
pub(super) fn brief(value: &Value) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
