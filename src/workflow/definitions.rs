//! All definitions of a process.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Definition, DefinitionError, Trigger, calls};

/// Definitions by name.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    by_name: BTreeMap<String, Arc<Definition>>,
}

impl Definitions {
    /// `files`: each definition with the file that it is from.
    ///
    /// # Errors
    /// Two have the same name; one calls a workflow that there is not, or itself by way of others.
    pub fn new(files: Vec<(String, Definition)>) -> Result<Self, DefinitionError> {
        let mut by_name: BTreeMap<String, Arc<Definition>> = BTreeMap::new();
        let mut file_of = BTreeMap::new();
        for (file, definition) in files {
            let name = definition.name.clone();
            file_of.insert(name.clone(), file.clone());
            if by_name.insert(name.clone(), Arc::new(definition)).is_some() {
                let message = format!("name: {name:?} is not allowed; allowed: a name that no other file has");
                return Err(DefinitionError { file, line: 1, step: None, message });
            }
        }
        let definitions = Self { by_name };
        calls::check(&definitions).map_err(|wrong| DefinitionError {
            file: file_of.remove(&wrong.caller).unwrap_or_default(),
            line: wrong.line,
            step: Some(wrong.step),
            message: wrong.message,
        })?;
        Ok(definitions)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Definition>> {
        self.by_name.get(name)
    }

    /// In order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Definition> {
        self.by_name.values().map(|definition| &**definition)
    }

    /// Names, for messages.
    #[must_use]
    pub fn names(&self) -> String {
        if self.by_name.is_empty() {
            return "none is defined".to_owned();
        }
        self.by_name.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// What events of a type start.
    pub fn triggered_by<'a>(&'a self, event_type: &'a str) -> impl Iterator<Item = (&'a Definition, &'a Trigger)> {
        self.all().flat_map(move |definition| {
            let of_type = definition.triggers.iter().filter(move |trigger| trigger.event_type == event_type);
            of_type.map(move |trigger| (definition, trigger))
        })
    }
}
