//! What a step's expressions see.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Definition, Path, Run, StepStatus};
use crate::expression::{Expression, ExpressionError, value_of};

/// What the run was started with.
pub(super) const INPUT: &str = "input";
/// Outputs of steps, `steps.ID.output`.
pub(super) const STEPS: &str = "steps";
/// The run: `run.id`, `run.workflow`, `run.version`.
pub(super) const RUN: &str = "run";
/// Of the innermost `for_each`.
pub(super) const ITEM: &str = "item";
pub(super) const INDEX: &str = "index";
/// Of a trigger: the event's attributes and data.
pub(super) const EVENT: &str = "event";
pub(super) const DATA: &str = "data";

/// Variables by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scope(BTreeMap<&'static str, Value>);

impl Scope {
    /// Of the run's output: all that its outermost steps gave.
    pub(super) fn of_run(run: &Run) -> Self {
        let mut scope = Self(BTreeMap::from([
            (INPUT, run.input.clone()),
            (RUN, json!({"id": run.id, "workflow": run.workflow, "version": run.version})),
        ]));
        scope.0.insert(STEPS, Value::Object(Map::new()));
        scope.see(run, None);
        scope
    }

    /// Of the step at `path`: what its siblings and those of the containers around it gave, and the item of its round.
    pub(super) fn of_step(definition: &Definition, run: &Run, path: &Path) -> Self {
        let mut scope = Self::of_run(run);
        let mut containers = Vec::new();
        let mut at = path.parent();
        while let Some(container) = at {
            at = container.parent();
            containers.push(container);
        }
        // From the outside in: the innermost round's item is seen.
        for container in containers.iter().rev() {
            scope.see(run, Some(container));
            let (each, round) = container.without_round();
            let items = round.and_then(|index| Some((index, run.steps.get(&each)?.items.as_ref()?.get(index)?)));
            if let Some((index, item)) = items {
                scope.0.insert(ITEM, item.clone());
                scope.0.insert(INDEX, index.into());
            }
        }
        debug_assert!(definition.step_at(path).is_some(), "a step of the definition");
        scope
    }

    /// Of a trigger.
    #[must_use]
    pub fn of_event(attributes: Value, data: Value) -> Self {
        Self(BTreeMap::from([(EVENT, attributes), (DATA, data)]))
    }

    /// Adds the outputs of the steps directly within `container`.
    fn see(&mut self, run: &Run, container: Option<&Path>) {
        let Some(Value::Object(seen)) = self.0.get_mut(STEPS) else { return };
        let is_direct = |path: &Path| !path.is_undo() && path.parent().as_ref() == container;
        let direct = run.steps.iter().filter(|(path, state)| state.status == StepStatus::Succeeded && is_direct(path));
        seen.extend(direct.map(|(path, state)| (path.id().to_owned(), json!({"output": state.output}))));
    }

    /// # Errors
    /// It cannot be evaluated, or gives nothing that JSON has.
    pub fn value(&self, expression: &Expression) -> Result<Value, ExpressionError> {
        let value = expression.evaluate(self.variables(expression))?;
        value.json().map_err(|error| expression.failed(error))
    }

    /// # Errors
    /// It cannot be evaluated, or gives something else than true or false.
    pub fn decide(&self, expression: &Expression) -> Result<bool, ExpressionError> {
        expression.decide(self.variables(expression))
    }

    /// Those that it reads: making all of them takes longer than most expressions.
    fn variables(&self, expression: &Expression) -> Vec<(&'static str, cel::Value)> {
        let read = self.0.iter().filter(|(name, _)| expression.names(name));
        read.map(|(name, value)| (*name, value_of(value))).collect()
    }
}
