//! Plain JSON as a value of an Avro schema, with errors that name the field.
//!
//! Plain: a union's value is written as itself, not as `{"type": value}`, and is of the first type that takes it; bytes are base64
//! text; times are numbers of milliseconds (or what the logical type counts) or RFC 3339 text; 7.0 is as whole as 7. A field that is not
//! given takes its default, else it is missing; a member that no field takes is an error, because it is most likely a typing error.
//! [`to_json`] is the way back, for data of any schema.

mod shown;

use std::cell::Cell;

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, RecordSchema, ResolvedSchema, UnionSchema, UuidSchema};
use apache_avro::types::Value as Avro;
use base64::Engine as _;
use serde_json::Value as Json;

pub use self::shown::to_json;
use crate::numbers;

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 64;
/// Values that may be looked at for each that there is: a union tries its types, and what is in them again for each.
const TRIES_EACH: usize = 16;
/// The same for data that is next to nothing.
const TRIES_LEAST: usize = 1_000;

/// What does not fit the schema, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// E.g. `changedFiles[2].status`; `data` for the whole.
    pub path: String,
    pub problem: String,
}

/// Converts `json` into a value of `schema`.
///
/// # Errors
/// The first field that does not fit.
pub fn to_avro(schema: &Schema, json: &Json) -> Result<Avro, FieldError> {
    let problem = |error: apache_avro::Error| FieldError { path: "data".into(), problem: error.to_string() };
    let resolved = ResolvedSchema::try_from(schema).map_err(problem)?;
    let tries = Cell::new(TRIES_LEAST + TRIES_EACH * size(json));
    Converter { names: resolved.get_names(), tries: &tries, bytes: Bytes::Base64 }.value(schema, json, &Path::Root, 0)
}

/// How many values there are.
fn size(json: &Json) -> usize {
    1 + match json {
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// The Avro binary form of a value, without any header.
///
/// # Errors
/// The value is not one of the schema.
pub(crate) fn encode(schema: &Schema, value: Avro) -> Result<Vec<u8>, apache_avro::Error> {
    apache_avro::writer::datum::GenericDatumWriter::builder(schema).build()?.write_value_to_vec(value)
}

/// The first type in `schema` of which no JSON is a value here, if there is one: for those who take schemas from people.
#[must_use]
pub fn not_given_as_json(schema: &Schema) -> Option<&Schema> {
    match schema {
        Schema::Array(array) => not_given_as_json(&array.items),
        Schema::Map(map) => not_given_as_json(&map.types),
        Schema::Record(record) => record.fields.iter().find_map(|field| not_given_as_json(&field.schema)),
        Schema::Union(union) => union.variants().iter().find_map(not_given_as_json),
        Schema::Null
        | Schema::Boolean
        | Schema::Int
        | Schema::Long
        | Schema::Float
        | Schema::Double
        | Schema::String
        | Schema::Bytes
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::Date
        | Schema::Uuid(UuidSchema::String)
        | Schema::Enum(_)
        | Schema::Ref { .. } => None,
        other => Some(other),
    }
}

/// Days since 1970.
fn date(text: &str) -> Option<i32> {
    let since_1970 = text.parse::<jiff::civil::Date>().ok()?.since(jiff::civil::date(1970, 1, 1)).ok()?;
    Some(since_1970.get_days())
}

#[derive(Clone, Copy)]
struct Converter<'a> {
    names: &'a NamesRef<'a>,
    /// What is left of them.
    tries: &'a Cell<usize>,
    bytes: Bytes,
}

/// How bytes are written as text.
#[derive(Clone, Copy, PartialEq)]
enum Bytes {
    Base64,
    /// In a schema's defaults: a character a byte (Avro 1.12, "Complex Types, Records").
    CodePoints,
}

/// Where a value stands; text only once there is an error.
enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("data"),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

impl Path<'_> {
    fn error(&self, problem: impl Into<String>) -> FieldError {
        FieldError { path: self.to_string(), problem: problem.into() }
    }

    fn expected(&self, what: &str, json: &Json) -> FieldError {
        let text: String = json.to_string().chars().take(60).collect();
        self.error(format!("expected {what}, not {text}"))
    }
}

impl Converter<'_> {
    fn value(&self, schema: &Schema, json: &Json, path: &Path<'_>, depth: usize) -> Result<Avro, FieldError> {
        if depth > DEPTH_MAX {
            return Err(path.error(format!("it is nested more than {DEPTH_MAX} deep")));
        }
        match self.tries.get().checked_sub(1) {
            Some(left) => self.tries.set(left),
            None => return Err(path.error("there are too many ways in which the data could fit the schema's unions")),
        }
        let wrong = |what: &str| path.expected(what, json);
        let long = || numbers::whole(json).ok_or_else(|| wrong("a whole number"));
        let int = || long().and_then(|n| i32::try_from(n).map_err(|_| wrong("a 32-bit number")));
        let time = |count: fn(jiff::Timestamp) -> i64, what: &str| match json {
            Json::String(text) => text.parse().map(count).map_err(|_| wrong(what)),
            _ => numbers::whole(json).ok_or_else(|| wrong(what)),
        };
        Ok(match schema {
            Schema::Null if json.is_null() => Avro::Null,
            Schema::Null => return Err(wrong("null")),
            Schema::Boolean => Avro::Boolean(json.as_bool().ok_or_else(|| wrong("true or false"))?),
            Schema::Int => Avro::Int(int()?),
            Schema::Long => Avro::Long(long()?),
            #[expect(clippy::cast_possible_truncation, reason = "the schema says that a float is enough")]
            Schema::Float => Avro::Float(json.as_f64().ok_or_else(|| wrong("a number"))? as f32),
            Schema::Double => Avro::Double(json.as_f64().ok_or_else(|| wrong("a number"))?),
            Schema::String => Avro::String(json.as_str().ok_or_else(|| wrong("text"))?.to_owned()),
            Schema::Bytes if self.bytes == Bytes::CodePoints => {
                let bytes: Option<Vec<u8>> = json.as_str().and_then(|t| t.chars().map(|c| c.try_into().ok()).collect());
                Avro::Bytes(bytes.ok_or_else(|| wrong("text of characters up to U+00FF"))?)
            }
            Schema::Bytes => {
                let decoded = json.as_str().and_then(|t| base64::engine::general_purpose::STANDARD.decode(t).ok());
                Avro::Bytes(decoded.ok_or_else(|| wrong("base64 text"))?)
            }
            Schema::TimestampMillis => Avro::TimestampMillis(time(
                jiff::Timestamp::as_millisecond,
                "milliseconds since 1970 or RFC 3339 text",
            )?),
            Schema::TimestampMicros => Avro::TimestampMicros(time(
                jiff::Timestamp::as_microsecond,
                "microseconds since 1970 or RFC 3339 text",
            )?),
            Schema::Date => Avro::Date(match json {
                Json::String(text) => date(text).ok_or_else(|| wrong("days since 1970 or a date like 2026-01-31"))?,
                _ => int()?,
            }),
            Schema::Uuid(UuidSchema::String) => {
                Avro::Uuid(json.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong("a UUID"))?)
            }
            Schema::Enum(schema) => {
                let symbol = json.as_str().and_then(|t| schema.symbols.iter().position(|symbol| symbol == t));
                let at = symbol.ok_or_else(|| wrong(&format!("one of {}", schema.symbols.join(", "))))?;
                Avro::Enum(u32::try_from(at).unwrap_or(u32::MAX), schema.symbols[at].clone())
            }
            Schema::Array(schema) => {
                let items = json.as_array().ok_or_else(|| wrong("a list"))?.iter().enumerate();
                let items = items.map(|(at, item)| self.value(&schema.items, item, &Path::Item(path, at), depth + 1));
                Avro::Array(items.collect::<Result<_, _>>()?)
            }
            Schema::Map(schema) => {
                let members = json.as_object().ok_or_else(|| wrong("an object"))?.iter();
                let members = members.map(|(name, value)| {
                    Ok((name.clone(), self.value(&schema.types, value, &Path::Field(path, name), depth + 1)?))
                });
                Avro::Map(members.collect::<Result<_, _>>()?)
            }
            Schema::Record(schema) => self.record(schema, json, path, depth)?,
            Schema::Union(schema) => self.union(schema, json, path, depth)?,
            Schema::Ref { name } => match self.names.get(name) {
                Some(schema) => self.value(schema, json, path, depth + 1)?,
                None => return Err(path.error(format!("the schema names the unknown type {name:?}"))),
            },
            other => return Err(path.error(format!("a value of type {other:?} cannot be given as JSON"))),
        })
    }

    fn record(&self, schema: &RecordSchema, json: &Json, path: &Path<'_>, depth: usize) -> Result<Avro, FieldError> {
        let members = json.as_object().ok_or_else(|| path.expected("an object", json))?;
        if let Some(unknown) = members.keys().find(|name| !schema.fields.iter().any(|field| field.name == **name)) {
            let known: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
            return Err(
                Path::Field(path, unknown).error(format!("there is no such field; allowed: {}", known.join(", ")))
            );
        }
        let mut fields = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            let path = Path::Field(path, &field.name);
            let value = match (members.get(&field.name), &field.default) {
                (Some(json), _) => self.value(&field.schema, json, &path, depth + 1)?,
                (None, Some(default)) => {
                    Self { bytes: Bytes::CodePoints, ..*self }.value(&field.schema, default, &path, depth + 1)?
                }
                (None, None) => return Err(path.error("it is missing")),
            };
            fields.push((field.name.clone(), value));
        }
        Ok(Avro::Record(fields))
    }

    /// The first branch that takes the value. Where only one could, its error is the error.
    fn union(&self, schema: &UnionSchema, json: &Json, path: &Path<'_>, depth: usize) -> Result<Avro, FieldError> {
        let mut last = None;
        for (at, branch) in schema.variants().iter().enumerate() {
            match self.value(branch, json, path, depth + 1) {
                Ok(value) => return Ok(Avro::Union(u32::try_from(at).unwrap_or(u32::MAX), Box::new(value))),
                Err(error) if *branch != Schema::Null => last = Some(error),
                Err(_) => {}
            }
        }
        Err(last.unwrap_or_else(|| path.expected("null", json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["a", "b"]}, "default": "a"},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "raw", "type": ["null", "bytes"], "default": null},
        {"name": "micros", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 0},
        {"name": "run", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": null},
        {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "I", "fields": [
            {"name": "n", "type": "int"}]}}, "default": []},
        {"name": "again", "type": ["null", "I"], "default": null}]}"#;

    fn check(json: Json, expected: Result<(), &str>) {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        match (to_avro(&schema, &json), expected) {
            (Ok(value), Ok(())) => assert!(!encode(&schema, value).unwrap().is_empty()),
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
            (got, expected) => panic!("{json}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn what_fits_is_encoded_and_defaults_are_taken() {
        check(json!({"id": "x"}), Ok(()));
        check(json!({"id": "x", "at": "2026-01-01T00:00:00Z", "kind": "b", "note": "n", "raw": "AAE="}), Ok(()));
        check(json!({"id": "x", "items": [{"n": 1}], "again": {"n": 2}}), Ok(()));
    }

    #[test]
    fn times_dates_and_uuids_are_what_the_schema_counts() {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let at = "2026-01-31T00:00:00.123456Z";
        let run = "6f0c1f6e-5f0e-4f0e-8f0e-000000000001";
        let value = to_avro(&schema, &json!({"id": "x", "at": at, "micros": at, "day": "2026-01-31", "run": run}));
        let read = Json::try_from(value.unwrap()).unwrap();
        assert_eq!(read["at"], 1_769_817_600_123_i64);
        assert_eq!(read["micros"], 1_769_817_600_123_456_i64);
        assert_eq!((&read["day"], &read["run"]), (&json!(20_484), &json!(run)));
        assert_eq!(to_avro(&schema, &json!({"id": "x", "day": 20_484})).map(drop), Ok(()));
    }

    #[test]
    fn defaults_are_read_as_avro_writes_them() {
        let schema = r#"{"type": "record", "name": "R", "fields": [
            {"name": "b", "type": "bytes", "default": "abcd\u00ff"},
            {"name": "u", "type": ["bytes", "string"], "default": "\u00ff"}]}"#;
        let value = to_avro(&Schema::parse_str(schema).unwrap(), &json!({})).unwrap();
        let union = Avro::Union(0, Box::new(Avro::Bytes(vec![0xff])));
        let fields = vec![("b".to_owned(), Avro::Bytes(b"abcd\xff".to_vec())), ("u".to_owned(), union)];
        assert_eq!(value, Avro::Record(fields));
    }

    #[test]
    fn what_is_read_can_be_written_again() {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let json = json!({"id": "x", "at": 7.0, "kind": "b", "note": null, "raw": "AAH/", "items": [{"n": 1}],
            "again": {"n": 2}, "micros": 8, "day": 9, "run": null});
        let value = to_avro(&schema, &json).unwrap();
        let read = to_json(&schema, value.clone()).unwrap();
        assert_eq!((&read["at"], &read["raw"], &read["again"]["n"]), (&json!(7), &json!("AAH/"), &json!(2)));
        assert_eq!(to_avro(&schema, &read), Ok(value));
    }

    #[test]
    fn a_tree_of_alike_records_is_not_tried_in_every_way() {
        let kinds = r#"{"type": "record", "name": "And", "fields": [{"name": "args", "type": {"type": "array", "items": ["And",
            {"type": "record", "name": "Or", "fields": [{"name": "args", "type": {"type": "array", "items": ["And", "Or", "string"]}}]},
            "string"]}}]}"#;
        let schema = Schema::parse_str(kinds).unwrap();
        let tree = |leaf: Json| (0..DEPTH_MAX / 4).fold(leaf, |within, _| json!({"args": [within]}));
        assert!(to_avro(&schema, &tree(json!("leaf"))).is_ok());
        let refused = to_avro(&schema, &tree(json!(1))).unwrap_err().problem;
        assert!(refused.contains("too many ways"), "{refused}");
    }

    #[test]
    fn types_that_no_json_is_a_value_of_are_found() {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        assert_eq!(not_given_as_json(&schema), None);
        let decimal = r#"{"type": "record", "name": "R", "fields": [{"name": "prices", "type": {"type": "array",
            "items": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]}}]}"#;
        assert!(matches!(not_given_as_json(&Schema::parse_str(decimal).unwrap()), Some(Schema::Decimal(_))));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check(json!([]), Err("data: expected an object, not []"));
        check(json!({}), Err("id: it is missing"));
        check(json!({"id": 1}), Err("id: expected text, not 1"));
        check(json!({"id": "x", "kind": "c"}), Err("kind: expected one of a, b, not \"c\""));
        check(
            json!({"id": "x", "items": [{"n": 1}, {"n": "2"}]}),
            Err("items[1].n: expected a whole number, not \"2\""),
        );
        check(
            json!({"id": "x", "again": {"n": 3_000_000_000_u64}}),
            Err("again.n: expected a 32-bit number, not 3000000000"),
        );
        check(json!({"id": "x", "raw": "?"}), Err("raw: expected base64 text, not \"?\""));
        check(
            json!({"id": "x", "day": "2026-02-30"}),
            Err("day: expected days since 1970 or a date like 2026-01-31, not \"2026-02-30\""),
        );
        check(json!({"id": "x", "run": "7"}), Err("run: expected a UUID, not \"7\""));
        let allowed = "allowed: id, at, kind, note, raw, micros, day, run, items, again";
        check(json!({"id": "x", "iD": 1}), Err(&format!("iD: there is no such field; {allowed}")));
    }
}
