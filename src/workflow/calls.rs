//! Which workflows call which: no workflow calls itself, whoever is in between, and not too many stand within each other.

use std::collections::BTreeMap;

use super::{Call, Definition, Definitions, Kind};

/// Workflows within each other, the outermost one counted.
const CALL_DEPTH_MAX: usize = 5;

/// What is wrong with a call.
pub(super) struct WrongCall {
    /// Name of the workflow that calls.
    pub(super) caller: String,
    pub(super) step: String,
    pub(super) line: u64,
    pub(super) message: String,
}

/// Checks every call of every workflow.
pub(super) fn check(definitions: &Definitions) -> Result<(), Box<WrongCall>> {
    let mut search = Search { definitions, open: Vec::new(), depths: BTreeMap::new() };
    for definition in definitions.all() {
        search.depth(definition)?;
    }
    Ok(())
}

struct Search<'a> {
    definitions: &'a Definitions,
    /// From an outermost workflow to the one that is looked at.
    open: Vec<&'a str>,
    /// Of those that were looked at.
    depths: BTreeMap<&'a str, usize>,
}

impl<'a> Search<'a> {
    /// How many workflows stand within each other from this one on.
    fn depth(&mut self, definition: &'a Definition) -> Result<usize, Box<WrongCall>> {
        if let Some(depth) = self.depths.get(definition.name.as_str()) {
            return Ok(*depth);
        }
        self.open.push(&definition.name);
        let mut deepest = 0;
        for (step, call) in calls(definition) {
            let wrong = |message: String| {
                let (caller, step) = (definition.name.clone(), step.to_owned());
                Box::new(WrongCall { caller, step, line: call.line, message })
            };
            let Some(called) = self.definitions.get(&call.workflow) else {
                let all = self.definitions.names();
                return Err(wrong(format!("call.workflow: {:?} is not allowed; allowed: {all}", call.workflow)));
            };
            if let Some(at) = self.open.iter().position(|open| *open == called.name) {
                let circle = self.open[at..].join(" → ");
                return Err(wrong(format!("call.workflow: {circle} → {} is a circle", called.name)));
            }
            deepest = deepest.max(self.depth(called)?);
            if deepest >= CALL_DEPTH_MAX {
                let message = format!("more than {CALL_DEPTH_MAX} workflows within each other; allowed: at most that");
                return Err(wrong(format!("call.workflow: {message}")));
            }
        }
        self.open.pop();
        self.depths.insert(&definition.name, deepest + 1);
        Ok(deepest + 1)
    }
}

fn calls(definition: &Definition) -> impl Iterator<Item = (&str, &Call)> {
    definition.steps.all().into_iter().filter_map(|step| match &step.kind {
        Kind::Call(call) => Some((step.id.as_str(), call)),
        _ => None,
    })
}
