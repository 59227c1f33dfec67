//! Whether data of one schema can be read with another: Avro's resolution rules, every break named.
//!
//! `apache_avro::schema_compatibility` decides about a pair of types; this walks records and lists, so that it is asked about
//! single fields and all that breaks is found, not only the first. Beside it, the registry has its own check; a change has
//! to pass both.

use std::collections::HashMap;
use std::fmt;

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// Why data of one schema cannot be read with another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Break {
    /// Path of the field, e.g. `changedFiles[].status`; empty for the record itself.
    pub field: String,
    pub reason: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.field, self.reason) }
    }
}

/// What makes data of `writer` unreadable (always) with `reader`; empty if some of it can be read.
pub(super) fn unreadable(writer: &Schema, reader: &Schema) -> Vec<Break> {
    Walk { partial_breaks: false, found: Vec::new() }.start(writer, reader)
}

/// What keeps some data of `writer` from being read with `reader`: the breaks of BACKWARD compatibility.
#[must_use]
pub fn breaks(writer: &Schema, reader: &Schema) -> Vec<Break> {
    Walk { partial_breaks: true, found: Vec::new() }.start(writer, reader)
}

struct Walk {
    /// Whether a pair of types of which only some data resolves counts (an enum that lost a symbol, a narrower union).
    partial_breaks: bool,
    found: Vec<Break>,
}

impl Walk {
    fn start(mut self, writer: &Schema, reader: &Schema) -> Vec<Break> {
        let writer = spelt_out(writer, &mut HashMap::new(), 0);
        let reader = spelt_out(reader, &mut HashMap::new(), 0);
        self.pair(&writer, &reader, "");
        self.found
    }

    fn pair(&mut self, writer: &Schema, reader: &Schema, at: &str) {
        match (writer, reader) {
            (Schema::Record(writer), Schema::Record(reader)) if writer.name.name() == reader.name.name() => {
                self.records(writer, reader, at);
            }
            (Schema::Array(writer), Schema::Array(reader)) => {
                self.pair(&writer.items, &reader.items, &format!("{at}[]"));
            }
            (writer, reader) => match SchemaCompatibility::can_read(writer, reader) {
                Ok(Compatibility::Full) => {}
                Ok(Compatibility::Partial) if !self.partial_breaks => {}
                Ok(Compatibility::Partial) => self.push(at, format!("not every {} can be read", described(writer))),
                Err(error) => {
                    let reason = innermost(&error);
                    self.push(at, format!("{} does not resolve to {}: {reason}", described(writer), described(reader)));
                }
            },
        }
    }

    fn records(&mut self, writer: &RecordSchema, reader: &RecordSchema, at: &str) {
        for field in &reader.fields {
            let at = if at.is_empty() { field.name.clone() } else { format!("{at}.{}", field.name) };
            let names = std::iter::once(&field.name).chain(&field.aliases);
            match names.into_iter().find_map(|name| writer.fields.iter().find(|theirs| theirs.name == *name)) {
                Some(theirs) => self.pair(&theirs.schema, &field.schema, &at),
                None if field.default.is_some() => {}
                None => self.push(&at, "the field is new and has no default".to_owned()),
            }
        }
    }

    fn push(&mut self, at: &str, reason: String) {
        self.found.push(Break { field: at.to_owned(), reason });
    }
}

/// Deeper than any schema of use; a recursive one keeps its references below this.
const MAX_SPELT_OUT: usize = 16;

/// `schema` with its references replaced by what they name: the checker compares references by name only, and takes a
/// reference and a definition of the same type for different.
fn spelt_out(schema: &Schema, known: &mut HashMap<String, Schema>, depth: usize) -> Schema {
    if depth > MAX_SPELT_OUT {
        return schema.clone();
    }
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
        known.insert(name.fullname(None), schema.clone());
    }
    match schema {
        Schema::Ref { name } => match known.get(&name.fullname(None)).cloned() {
            Some(definition) => spelt_out(&definition, known, depth + 1),
            None => schema.clone(),
        },
        Schema::Record(record) => {
            let mut record = record.clone();
            for field in &mut record.fields {
                field.schema = spelt_out(&field.schema, known, depth + 1);
            }
            Schema::Record(record)
        }
        Schema::Array(array) => {
            let mut array = array.clone();
            *array.items = spelt_out(&array.items, known, depth + 1);
            Schema::Array(array)
        }
        Schema::Map(map) => {
            let mut map = map.clone();
            *map.types = spelt_out(&map.types, known, depth + 1);
            Schema::Map(map)
        }
        Schema::Union(union) => {
            let variants = union.variants().iter().map(|variant| spelt_out(variant, known, depth + 1)).collect();
            apache_avro::schema::UnionSchema::new(variants).map_or_else(|_| schema.clone(), Schema::Union)
        }
        other => other.clone(),
    }
}

fn described(schema: &Schema) -> String {
    match schema {
        Schema::Union(union) => union.variants().iter().map(described).collect::<Vec<_>>().join(" | "),
        Schema::Array(array) => format!("array of {}", described(&array.items)),
        Schema::Map(map) => format!("map of {}", described(&map.types)),
        named => named.name().map_or_else(
            || format!("{:?}", apache_avro::schema::SchemaKind::from(named)).to_lowercase(),
            |name| name.fullname(None),
        ),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schemas;

    fn record(fields: &str) -> Schema {
        let common = r#"{"name":"id","type":"string"},{"name":"p","type":{"type":"record","name":"P","fields":[{"name":"n","type":"string"}]}}"#;
        Schema::parse_str(&format!(
            r#"{{"type":"record","name":"R","fields":[{common}{}{fields}]}}"#,
            if fields.is_empty() { "" } else { "," }
        ))
        .unwrap()
    }

    fn check(old: &str, new: &str, expected: &[&str]) {
        let found: Vec<String> = breaks(&record(old), &record(new)).iter().map(|b| b.field.clone()).collect();
        assert_eq!(found, expected, "{old} -> {new}: {:?}", breaks(&record(old), &record(new)));
    }

    #[test]
    fn each_break_names_its_field() {
        check("", "", &[]);
        check("", r#"{"name":"a","type":"int","default":1}"#, &[]);
        check("", r#"{"name":"a","type":"int"}"#, &["a"]);
        check(r#"{"name":"a","type":"int"}"#, "", &[]);
        check(r#"{"name":"a","type":"int"}"#, r#"{"name":"a","type":"long"}"#, &[]);
        check(r#"{"name":"a","type":"long"}"#, r#"{"name":"a","type":"int"}"#, &["a"]);
        check(r#"{"name":"a","type":"int"}"#, r#"{"name":"b","type":"int","aliases":["a"]}"#, &[]);
        check(r#"{"name":"a","type":"int"}"#, r#"{"name":"b","type":"int"},{"name":"c","type":"int"}"#, &["b", "c"]);
        check(r#"{"name":"a","type":"string"}"#, r#"{"name":"a","type":["null","string"]}"#, &[]);
        check(r#"{"name":"a","type":["null","string"]}"#, r#"{"name":"a","type":"string"}"#, &["a"]);
        let symbols = |s: &str| format!(r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":[{s}]}}}}"#);
        check(&symbols(r#""x""#), &symbols(r#""x","y""#), &[]);
        check(&symbols(r#""x","y""#), &symbols(r#""x""#), &["e"]);
        let list = |fields: &str| {
            format!(
                r#"{{"name":"l","type":{{"type":"array","items":{{"type":"record","name":"I","fields":[{fields}]}}}}}}"#
            )
        };
        check(&list(""), &list(r#"{"name":"x","type":"int"}"#), &["l[].x"]);
    }

    #[test]
    fn a_reference_and_a_definition_of_the_same_type_are_the_same() {
        let first = r#"{"name":"q","type":{"type":"record","name":"Q","fields":[{"name":"n","type":"string"}]}}"#;
        let both = format!(r#"{first},{{"name":"r","type":"Q","default":{{"n":""}}}}"#);
        let second = r#"{"name":"r","type":{"type":"record","name":"Q","fields":[{"name":"n","type":"string"}]}}"#;
        check(second, &format!("{first},{{\"name\":\"r\",\"type\":\"Q\"}}"), &["q"]);
        check(first, &both, &[]);
        let changed = r#"{"name":"r","type":{"type":"record","name":"Q","fields":[{"name":"n","type":"int"}]}}"#;
        check(&both, changed, &["r.n"]);
    }

    #[test]
    fn what_can_partly_be_read_is_not_unreadable() {
        let two = record(r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["x","y"]}}"#);
        let one = record(r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["x"]}}"#);
        assert_eq!((unreadable(&two, &one).len(), breaks(&two, &one).len()), (0, 1));
    }

    #[test]
    fn every_schema_reads_itself_and_no_other() {
        let schemas: Vec<Schema> =
            Schemas::built_in().iter().map(|file| Schema::parse_str(file.text()).unwrap()).collect();
        for (i, writer) in schemas.iter().enumerate() {
            for (j, reader) in schemas.iter().enumerate() {
                assert_eq!(breaks(writer, reader).is_empty(), i == j, "{:?} {:?}", writer.name(), reader.name());
            }
        }
    }
}
