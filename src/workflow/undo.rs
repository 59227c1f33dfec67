//! A run that has failed or was cancelled: what it has done is undone, the last first, one after the other.
//!
//! Only steps that have succeeded and say how are undone. One that cannot be undone stops nothing: the others are, and the run's
//! fault says so.

use std::time::Duration;

use serde_json::Value;

use super::advance::ChangeKind;
use super::settle::Settling;
use super::{Fault, Path, RunStatus, Step, StepState, StepStatus};

impl Settling<'_> {
    /// Begins to undo; false if there is nothing to undo.
    pub(super) fn undo_all(&mut self, status: RunStatus, fault: Option<&Fault>) -> bool {
        let Some(last) = self.last_done() else { return false };
        self.run.status = RunStatus::Compensating;
        self.run.ends_as = Some(status);
        self.run.fault = fault.cloned();
        self.changed(ChangeKind::RunCompensating, None, 0, fault);
        self.undo(&last);
        true
    }

    /// An attempt to undo a step has ended: there is another one, or the step before it is undone, or the run ends.
    pub(super) fn undone(&mut self, step: &Step, path: &Path, result: Result<Value, Fault>) {
        let fault = result.err();
        if let Some(fault) = &fault
            && self.retry(step, path, fault)
        {
            return;
        }
        self.undoing_ended(path, fault);
    }

    /// There is no other attempt: it is undone, or, with a fault, it is not.
    pub(super) fn undoing_ended(&mut self, path: &Path, fault: Option<Fault>) {
        let Some(state) = self.run.steps.get_mut(path) else { return };
        // What it gives nobody reads.
        let (status, kind) = match fault {
            None => (StepStatus::Succeeded, ChangeKind::StepSucceeded),
            Some(_) => (StepStatus::Failed, ChangeKind::StepFailed),
        };
        (state.status, state.fault) = (status, fault.clone());
        let attempt = state.attempt;
        self.changed(kind, Some(path), attempt, fault.as_ref());
        match self.last_done() {
            Some(last) => self.undo(&last),
            None => self.end_undone(),
        }
    }

    fn undo(&mut self, path: &Path) {
        let undo = path.undo();
        self.run.steps.insert(undo.clone(), StepState::first());
        self.changed(ChangeKind::StepStarted, Some(&undo), 1, None);
        self.command(&undo, 1, Duration::ZERO);
    }

    /// The last step to succeed of those that say how they are undone and are not.
    fn last_done(&self) -> Option<Path> {
        let says_how = |path: &Path| self.definition.step(path.id()).is_some_and(|step| step.compensate.is_some());
        let open = self.run.steps.iter().filter(|(path, state)| {
            let is_done = state.status == StepStatus::Succeeded && !path.is_undo();
            is_done && says_how(path) && !self.run.steps.contains_key(&path.undo())
        });
        open.max_by_key(|(_, state)| state.completion).map(|(path, _)| path.clone())
    }

    fn end_undone(&mut self) {
        let remains = |(path, state): (&Path, &StepState)| {
            let fault = state.fault.as_ref().filter(|_| path.is_undo() && state.status == StepStatus::Failed)?;
            Some(format!("{path}: {}: {}", fault.code, fault.message))
        };
        let remains: Vec<String> = self.run.steps.iter().filter_map(remains).collect();
        let mut fault = self.run.fault.take();
        if let Some(fault) = fault.as_mut().filter(|_| !remains.is_empty()) {
            fault.message = format!("{}; not undone: {}", fault.message, remains.join("; "));
        }
        let status = self.run.ends_as.take().unwrap_or(RunStatus::Failed);
        self.close(status, fault);
    }
}
