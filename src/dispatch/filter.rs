//! Filters: CEL expressions over an event's attributes and, only if they name it, its data.
//!
//! `event` is a map of every CloudEvents attribute that COAFI reads; one that the event lacks is the empty string, so that a
//! filter on an optional attribute needs no guard. `data` is the event's data as JSON. A filter that fails to evaluate, or
//! gives something else than true or false, is an error of the route: the event is dead-lettered, never silently skipped.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr};
use cel::{Context, Env, IdedExpr, Program, Value};

use super::Failure;
use super::contain::contain;
use crate::event::{Attribute, Event};
use crate::schema::Codec;

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
        let mut variables = BTreeSet::new();
        free_variables(program.expression(), &mut Vec::new(), &mut variables);
        if let Some(name) = variables.iter().find(|name| !["event", "data"].contains(name)) {
            return Err(FilterError::Variable { text: text.to_owned(), name: (*name).to_owned() });
        }
        let reads_data = variables.contains("data");
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

    /// Decodes the data only if the filter names it, and asks.
    ///
    /// # Errors
    /// As [`Codec::decode_json`]; permanent if the filter itself fails.
    pub async fn asked(&self, event: &Event, codec: &Codec) -> Result<bool, Failure> {
        let data = if self.reads_data() { Some(codec.decode_json(event).await?) } else { None };
        match contain(|| self.wants(event, data.as_ref())) {
            Ok(answer) => answer.map_err(|error| Failure::permanent("filter_failed", error)),
            Err(panicked) => Err(Failure::permanent("filter_panicked", panicked.message)),
        }
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

/// The variables that an expression needs from outside: without those that its macros (`exists`, `all`, `map`, …) bind.
fn free_variables<'a>(expression: &'a IdedExpr, bound: &mut Vec<&'a str>, free: &mut BTreeSet<&'a str>) {
    let entries = |entries: &'a [IdedEntryExpr]| {
        entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::StructField(field) => [None, Some(&field.value)],
            EntryExpr::MapEntry(entry) => [Some(&entry.key), Some(&entry.value)],
        })
    };
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => {}
        Expr::Ident(name) => {
            if !bound.contains(&name.as_str()) {
                free.insert(name);
            }
        }
        Expr::Select(select) => free_variables(&select.operand, bound, free),
        Expr::Call(call) => {
            call.target.iter().map(|target| &**target).chain(&call.args).for_each(|e| free_variables(e, bound, free));
        }
        Expr::List(list) => list.elements.iter().for_each(|e| free_variables(e, bound, free)),
        Expr::Map(map) => entries(&map.entries).flatten().for_each(|e| free_variables(e, bound, free)),
        Expr::Struct(fields) => entries(&fields.entries).flatten().for_each(|e| free_variables(e, bound, free)),
        Expr::Comprehension(over) => {
            free_variables(&over.iter_range, bound, free);
            free_variables(&over.accu_init, bound, free);
            let outside = bound.len();
            bound.extend([over.iter_var.as_str(), over.accu_var.as_str()]);
            bound.extend(over.iter_var2.as_deref());
            [&over.loop_cond, &over.loop_step, &over.result].into_iter().for_each(|e| free_variables(e, bound, free));
            bound.truncate(outside);
        }
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
            ("data.files.filter(event, event.path == 'b.rs').size() == 1", true),
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
