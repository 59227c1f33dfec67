//! One compiled JSON Schema, and what an instance has wrong about it.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Errors that are listed for one instance; the rest is counted.
pub(super) const MAX_ERRORS: usize = 50;
/// Of one error's text: a message quotes the value that is wrong.
pub(super) const MAX_ERROR_CHARS: usize = 400;

/// Compiled offline: a schema that refers to a document elsewhere is refused, so that validation never waits for a network.
#[derive(Debug)]
pub struct Shape(Validator);

impl Shape {
    /// The draft is the one that `$schema` names, 2020-12 where it names none.
    ///
    /// # Errors
    /// Why it is no JSON Schema that can be used.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let compiled = jsonschema::options()
            .offline()
            // Linear in the text: a pattern is somebody's configuration, and the text somebody else's.
            .with_pattern_options(PatternOptions::regex())
            .build(schema);
        compiled.map(Self).map_err(|error| explained(&error.to_string(), schema))
    }

    /// What is wrong, with the place in the instance (a JSON pointer); empty if nothing is.
    #[must_use]
    pub fn errors(&self, instance: &Value) -> Vec<String> {
        let mut errors = self.0.iter_errors(instance);
        let mut listed: Vec<String> = errors
            .by_ref()
            .take(MAX_ERRORS)
            .map(|error| {
                let place = error.instance_path().to_string();
                shortened(&format!("{}: {error}", if place.is_empty() { "/" } else { &place }))
            })
            .collect();
        let more = errors.count();
        if more > 0 {
            listed.push(format!("and {more} more"));
        }
        listed
    }
}

/// A message about a reference gets its reason.
fn explained(message: &str, schema: &Value) -> String {
    match remote_reference(schema) {
        Some(reference) => format!("{message}; {reference:?} is elsewhere, allowed are references within the schema"),
        None => message.to_owned(),
    }
}

fn remote_reference(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => {
            let here = members.get("$ref").and_then(Value::as_str).filter(|reference| !reference.starts_with('#'));
            here.or_else(|| members.values().find_map(remote_reference))
        }
        Value::Array(items) => items.iter().find_map(remote_reference),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
