//! Filters: CEL expressions over an event's attributes and, only if they name it, its data.
//!
//! `event` is a map of every CloudEvents attribute that COAFI reads; one that the event lacks is the empty string, so that a
//! filter on an optional attribute needs no guard. `data` is the event's data as JSON. A filter that fails to evaluate, or
//! gives something else than true or false, is an error of the route: the event is dead-lettered, never silently skipped.

use std::collections::HashMap;

use cel::Value;

use super::Failure;
use super::contain::contain;
use crate::event::{Attribute, Event};
pub use crate::expression::ExpressionError as FilterError;
use crate::expression::{Expression, value_of};
use crate::schema::Codec;

const EVENT: &str = "event";
const DATA: &str = "data";

/// A compiled filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Expression);

impl Filter {
    /// # Errors
    /// [`FilterError::Syntax`] with the position, [`FilterError::Variable`].
    pub fn compile(text: &str) -> Result<Self, FilterError> {
        Expression::compile(text, &[EVENT, DATA]).map(Self)
    }

    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// Whether [`Filter::wants`] needs the event's data.
    #[must_use]
    pub fn reads_data(&self) -> bool {
        self.0.names(DATA)
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
        let mut variables = vec![(EVENT, attributes(event))];
        if let Some(data) = data {
            variables.push((DATA, value_of(data)));
        }
        self.0.decide(variables)
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
