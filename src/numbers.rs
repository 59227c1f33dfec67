//! Numbers of JSON, which does not tell 7 from 7.0: neither does JSON Schema's `integer`.

use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// From here on a double leaves whole numbers out.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number without a fraction; `None` for anything else, and for what 64 bits do not hold exactly.
#[must_use]
pub(crate) fn whole(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is within the bounds")]
    let of_double = |number: f64| (number.fract() == 0.0 && number.abs() < EXACT_MAX).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().filter(|_| value.is_f64()).and_then(of_double))
}

/// For serde: [`whole`], or nothing.
///
/// # Errors
/// Neither null nor a whole number.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let is_number = || whole(&value).ok_or_else(|| serde::de::Error::custom(format!("{value} is no whole number")));
    if value.is_null() { Ok(None) } else { is_number().map(Some) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_no_fraction_is_whole() {
        for (value, expected) in
            [(json!(7), Some(7)), (json!(7.0), Some(7)), (json!(-0.0), Some(0)), (json!(-7.0), Some(-7))]
        {
            assert_eq!(whole(&value), expected, "{value}");
        }
        for value in [json!(7.5), json!(1e300), json!(u64::MAX), json!(EXACT_MAX), json!("7"), json!(null)] {
            assert_eq!(whole(&value), None, "{value}");
        }
    }

    #[test]
    fn serde_takes_a_whole_number_or_nothing() {
        #[derive(serde::Deserialize)]
        struct Asked {
            #[serde(default, deserialize_with = "optional")]
            version: Option<i64>,
        }
        let read = |json| serde_json::from_value::<Asked>(json).map(|asked| asked.version).map_err(|e| e.to_string());
        assert_eq!(read(json!({"version": 1.0})), Ok(Some(1)));
        assert_eq!((read(json!({})), read(json!({"version": null}))), (Ok(None), Ok(None)));
        assert_eq!(read(json!({"version": 1.5})), Err("1.5 is no whole number".to_owned()));
    }
}
