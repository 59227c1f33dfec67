//! JSON files: RFC 8259, with unique member names (RFC 7493), which `serde_json`'s own `Value` does not insist on.
//!
//! Nesting is bounded by `serde_json` (128 levels).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problems::Problems;

/// The value, or the first error with its position.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = Unique.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(value) => Some(value),
        Err(error) => {
            let full = error.to_string();
            let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
            problems.add_at(error.line() as u64, error.column() as u64, message);
            None
        }
    }
}

/// Builds a [`Value`] and refuses a repeated member name.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate key {name:?}")));
            }
            let value = members.next_value_seed(Self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let mut problems = Problems::default();
        let value = parse(text, &mut problems).map(|value| value.to_string());
        let messages = problems.into_messages().join("; ");
        assert_eq!(value.as_deref().ok_or(messages.as_str()), expected, "{text:?}");
    }

    #[test]
    fn values_come_back() {
        check(r#" {"a": [1, -2, 1.5, "x", null, true]} "#, Ok(r#"{"a":[1,-2,1.5,"x",null,true]}"#));
        check("18446744073709551615", Ok("18446744073709551615"));
    }

    #[test]
    fn errors_name_line_and_column() {
        check("", Err("line 1: column 0: EOF while parsing a value"));
        check("{\n  \"a\": 1,\n}", Err("line 3: column 1: trailing comma"));
        check("{} {}", Err("line 1: column 4: trailing characters"));
        check("{\"a\":1,\n \"a\":2}", Err("line 2: column 4: duplicate key \"a\""));
        check("{\"x\":{\"a\":1,\"a\":2}}", Err("line 1: column 15: duplicate key \"a\""));
        check("\u{feff}{}", Err("line 1: column 1: expected value"));
        check("1e999", Err("line 1: column 5: number out of range"));
        check("// comment\n{}", Err("line 1: column 1: expected value"));
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        let mut problems = Problems::default();
        assert_eq!(parse(&"[".repeat(1_000_000), &mut problems), None);
        assert!(problems.into_messages()[0].contains("recursion limit exceeded"));
    }
}
