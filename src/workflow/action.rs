//! What a step does, computed from the run's state.

use serde_json::{Value, json};

use super::scope::Scope;
use super::settle::{brief, expression_fault};
use super::{Definition, Fault, Format, Kind, Path, Run, Template};
use crate::numbers;

/// What is to be done for one attempt of a step. Doing it twice must have one effect, which is for those to see to who do it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing; this is its output.
    Nothing(Value),
    Emit {
        topic: String,
        event_type: String,
        subject: Option<String>,
        key: Option<String>,
        data: Value,
    },
    /// `data` null deletes.
    RegistryUpdate {
        registry: String,
        entry: String,
        data: Value,
        expected_version: Option<i64>,
    },
    RegistryRead {
        registry: String,
        entry: String,
    },
    Http {
        endpoint: String,
        event_type: String,
        data: Value,
    },
    /// The members of a notification, as its event has them.
    Notify(Value),
    /// Stores a document.
    Generate {
        name: String,
        format: Format,
        text: String,
    },
}

/// Of the step at `path`.
///
/// # Errors
/// What fails the attempt.
pub fn action(definition: &Definition, run: &Run, path: &Path) -> Result<Action, Fault> {
    let Some(step) = definition.step_at(path) else {
        return Err(Fault::new("no_step", format!("the definition has no step {path}")));
    };
    let scope = Scope::of_step(definition, run, path);
    let fill = |template: &Template| template.fill(&scope).map_err(|error| expression_fault(&error));
    let text = |key: &str, template: &Template| match fill(template)? {
        Value::String(text) if !text.is_empty() => Ok(text),
        other => Err(wrong(key, &other, "a text")),
    };
    Ok(match &step.kind {
        Kind::Transform(template) => Action::Nothing(fill(template)?),
        Kind::Validate(validate) => {
            let value = fill(&validate.value)?;
            let errors = validate.schema.errors(&value);
            if !errors.is_empty() {
                let message = format!("the value has {} errors: {}", errors.len(), errors[0]);
                return Err(Fault { errors, ..Fault::new("invalid", message) });
            }
            Action::Nothing(value)
        }
        Kind::Emit(emit) => Action::Emit {
            topic: emit.topic.clone(),
            event_type: emit.event_type.clone(),
            subject: emit.subject.as_ref().map(|template| text("emit.subject", template)).transpose()?,
            key: emit.key.as_ref().map(|template| text("emit.key", template)).transpose()?,
            data: fill(&emit.data)?,
        },
        Kind::RegistryUpdate(update) => {
            let data = fill(&update.data)?;
            if !matches!(data, Value::Object(_) | Value::Null) {
                return Err(wrong("registry_update.data", &data, "an object, or null to delete"));
            }
            Action::RegistryUpdate {
                registry: text("registry_update.registry", &update.registry)?,
                entry: text("registry_update.entry", &update.entry)?,
                data,
                expected_version: update
                    .expected_version
                    .as_ref()
                    .map(|template| {
                        let value = fill(template)?;
                        numbers::whole(&value)
                            .ok_or_else(|| wrong("registry_update.expected_version", &value, "a whole number"))
                    })
                    .transpose()?,
            }
        }
        Kind::RegistryRead(read) => Action::RegistryRead {
            registry: text("registry_read.registry", &read.registry)?,
            entry: text("registry_read.entry", &read.entry)?,
        },
        Kind::Http(http) => Action::Http {
            endpoint: http.endpoint.clone(),
            event_type: http.event_type.clone(),
            data: fill(&http.data)?,
        },
        Kind::Notify(notify) => Action::Notify(notify.fill(&fill)?),
        Kind::Generate(generate) => Action::Generate {
            name: text("generate.name", &generate.name)?,
            format: generate.format,
            text: generate.document(&scope)?,
        },
        Kind::Approval(_) => return Err(Fault::new(Fault::TIMEOUT, "nobody has decided in time")),
        Kind::WaitFor(wait) => {
            return Err(Fault::new(Fault::TIMEOUT, format!("no {} has come in time", wait.event_type)));
        }
        Kind::Call(call) => {
            return Err(Fault::new(Fault::TIMEOUT, format!("{} has not ended in time", call.workflow)));
        }
        // Its time has passed when it is run.
        Kind::Wait(_) => Action::Nothing(Value::Null),
        Kind::Switch(_) | Kind::Parallel(_) | Kind::ForEach(_) => {
            return Err(Fault::new("no_action", json!({"step": path, "kind": step.kind.name()})));
        }
    })
}

fn wrong(key: &str, value: &Value, allowed: &str) -> Fault {
    Fault::new("wrong_value", format!("{key} is {}; allowed: {allowed}", brief(value)))
}
