//! Filters: CEL expressions over an event's attributes and, only if they name it, its data.
//!
//! `event` is a map of every CloudEvents attribute that COAFI reads; one that the event lacks is the empty string, so that a
//! filter on an optional attribute needs no guard. `data` is the event's data as JSON. A filter that fails to evaluate, or
//! gives something else than true or false, is an error of the route: the event is dead-lettered, never silently skipped.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::{Context, Env, Program, Value};

use crate::event::{Attribute, Event};

/// A compiled filter.
#[derive(Clone)]
pub struct Filter(Arc<Compiled>);

struct Compiled {
    text: String,
    program: Program,
    env: Arc<Env>,
    reads_data: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("{text:?} does not compile: line {line}, column {column}: {message}")]
    Syntax { text: String, line: isize, column: isize, message: String },
    #[error("{text:?} names {name:?}; allowed: event, data")]
    Variable { text: String, name: String },
    #[error("{text:?} cannot be evaluated: {message}")]
    Evaluation { text: String, message: String },
    #[error("{text:?} gives {value}; allowed: true, false")]
    NotBool { text: String, value: String },
}

impl Filter {
    /// # Errors
    /// [`FilterError::Syntax`] with the position, [`FilterError::Variable`].
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        let env = Arc::new(Env::stdlib());
        let program = env.compile(text).map_err(|errors| {
            let first = errors.errors.first();
            FilterError::Syntax {
                text: text.to_owned(),
                line: first.map_or(0, |e| e.pos.0),
                column: first.map_or(0, |e| e.pos.1),
                message: first.map_or_else(|| errors.to_string(), |e| e.msg.clone()),
            }
        })?;
        let references = program.references();
        let mut variables = references.variables();
        variables.sort_unstable();
        if let Some(name) = variables.iter().find(|name| !["event", "data"].contains(name)) {
            return Err(FilterError::Variable { text: text.to_owned(), name: (*name).to_owned() });
        }
        let reads_data = variables.contains(&"data");
        Ok(Self(Arc::new(Compiled { text: text.to_owned(), program, env, reads_data })))
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether [`Filter::wants`] needs the event's data.
    #[must_use]
    pub fn reads_data(&self) -> bool {
        self.0.reads_data
    }

    /// # Errors
    /// [`FilterError::Evaluation`], [`FilterError::NotBool`].
    pub fn wants(&self, event: &Event, data: Option<&serde_json::Value>) -> Result<bool, FilterError> {
        let failed = |message: String| FilterError::Evaluation { text: self.0.text.clone(), message };
        let mut context = Context::with_env(Arc::clone(&self.0.env));
        context.add_variable_from_value("event", attributes(event));
        if let Some(data) = data {
            let data = cel::to_value(data).map_err(|error| failed(error.to_string()))?;
            context.add_variable_from_value("data", data);
        }
        match self.0.program.execute(&context).map_err(|error| failed(error.to_string()))? {
            Value::Bool(wanted) => Ok(wanted),
            other => Err(FilterError::NotBool { text: self.0.text.clone(), value: format!("{other:?}") }),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.0.text)
    }
}

fn attributes(event: &Event) -> Value {
    let all: HashMap<&str, Value> = Attribute::ALL
        .into_iter()
        .map(|attribute| (attribute.name(), Value::from(event.attribute(attribute).unwrap_or_default())))
        .collect();
    Value::Map(all.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Offset, RecordBuilder};

    fn event() -> Event {
        let mut builder = RecordBuilder::new(None, Some(b"{}"), 64);
        for (name, value) in [("ce_id", "1"), ("ce_source", "/repo"), ("ce_type", "git.commit"), ("ce_subject", "main")]
        {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        Event::parse(builder.build("coafi.git".into(), 0, Offset(0), None)).unwrap()
    }

    #[test]
    fn attributes_and_data_decide() {
        let data = json!({"branch": "main", "files": [{"path": "a.md"}, {"path": "b.rs"}], "size": 3});
        for (text, expected) in [
            ("event.type == 'git.commit'", true),
            ("event.subject.startsWith('release/')", false),
            ("event.tenantid == ''", true),
            ("data.branch == 'main' && data.size > 2", true),
            ("data.files.exists(f, f.path.endsWith('.md'))", true),
            ("has(data.missing)", false),
            ("event.source.matches('^/re.o$')", true),
        ] {
            let filter = Filter::compile(text).unwrap();
            assert_eq!(filter.wants(&event(), Some(&data)), Ok(expected), "{text}");
            assert_eq!(filter.reads_data(), text.contains("data."), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let syntax = Filter::compile("event.type ==\n  ==").unwrap_err();
        assert!(matches!(syntax, FilterError::Syntax { line: 2, .. }), "{syntax}");
        let variable = Filter::compile("events.type == 'a'").unwrap_err();
        assert_eq!(variable.to_string(), r#""events.type == 'a'" names "events"; allowed: event, data"#);
        let missing = Filter::compile("event.colour == 'red'").unwrap().wants(&event(), None).unwrap_err();
        assert!(missing.to_string().contains("colour"), "{missing}");
        let number = Filter::compile("1 + 1").unwrap().wants(&event(), None).unwrap_err();
        assert!(matches!(number, FilterError::NotBool { .. }), "{number}");
    }
}
