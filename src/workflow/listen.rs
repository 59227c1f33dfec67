//! Steps that end when somebody else has done something: an event comes, or another run ends.

use super::advance::Command;
use super::scope::Scope;
use super::settle::{Settling, brief, expression_fault};
use super::waiting::child_id;
use super::{Awaited, Call, Fault, Path, StepState, StepStatus, WaitFor, correlation};

impl Settling<'_> {
    /// From now on an event of this kind ends the attempt.
    pub(super) fn listen(&mut self, wait: &WaitFor, path: &Path, attempt: u32) {
        let value = match wait.equals.fill(&Scope::of_step(self.definition, &self.run, path)) {
            Ok(value) => value,
            Err(error) => return self.fail(path, expression_fault(&error)),
        };
        let Some(text) = correlation(&value) else {
            let message = format!(
                "wait_for.equals is {}; allowed: a text of 1 to 500 bytes, a number, true, false",
                brief(&value)
            );
            return self.fail(path, Fault::new("wrong_value", message));
        };
        if let Some(state) = self.run.steps.get_mut(path) {
            let (event_type, correlate) = (wait.event_type.clone(), wait.correlate.text().to_owned());
            state.awaited = Some(Awaited { event_type, correlate, value: text });
        }
        self.command(path, attempt, wait.within);
    }

    /// Another run begins, whose end ends the attempt.
    pub(super) fn call(&mut self, call: &Call, path: &Path, attempt: u32) {
        let input = match call.input.fill(&Scope::of_step(self.definition, &self.run, path)) {
            Ok(input) => input,
            Err(error) => return self.fail(path, expression_fault(&error)),
        };
        if let Err(fault) = self.room_for(&input) {
            return self.fail(path, fault);
        }
        let child = child_id(&self.run.id, path, attempt);
        if let Some(state) = self.run.steps.get_mut(path) {
            state.child = Some(child.clone());
        }
        let (step, workflow) = (path.clone(), call.workflow.clone());
        self.commands.push(Command::Call { step, attempt, workflow, child, input });
        if let Some(within) = call.within {
            self.command(path, attempt, within);
        }
    }

    /// Runs for whose end nobody waits any more once this run ends; not those that were to begin just now.
    pub(super) fn called(&self) -> Vec<Command> {
        let is_open = |state: &StepState| match state.status {
            StepStatus::Running => true,
            StepStatus::Failed => state.fault.as_ref().is_some_and(|fault| fault.code == Fault::TIMEOUT),
            StepStatus::Succeeded | StepStatus::Cancelled => false,
        };
        let begins =
            |child: &str| self.commands.iter().any(|c| matches!(c, Command::Call { child: new, .. } if new == child));
        let open = self.run.steps.iter().filter(|(_, state)| is_open(state));
        open.filter_map(|(path, state)| {
            let child = state.child.clone().filter(|child| !begins(child))?;
            Some(Command::CancelChild { step: path.clone(), child })
        })
        .collect()
    }
}
