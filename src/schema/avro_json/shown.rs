//! Values of any schema as plain JSON.

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, ResolvedSchema};
use apache_avro::types::Value as Avro;
use base64::Engine as _;
use serde_json::Value as Json;

/// A decimal is shown as text up to this.
const DECIMAL_BYTES_MAX: usize = 512;
const DECIMAL_SCALE_MAX: usize = 1_000;

/// A value of `schema` as [`super::to_avro`] takes it. What that does not take is text too: fixed is base64, a decimal its
/// digits (an enormous one base64), and a number that is none of JSON's is `NaN`, `Infinity` or `-Infinity`.
///
/// # Errors
/// The schema names an unknown type.
pub fn to_json(schema: &Schema, value: Avro) -> Result<Json, apache_avro::Error> {
    let resolved = ResolvedSchema::try_from(schema)?;
    Ok(plain(resolved.get_names(), schema, value))
}

fn plain(names: &NamesRef<'_>, schema: &Schema, value: Avro) -> Json {
    let base64 = |bytes: &[u8]| Json::String(base64::engine::general_purpose::STANDARD.encode(bytes));
    match (schema, value) {
        (Schema::Ref { name }, value) => match names.get(name) {
            Some(schema) => plain(names, schema, value),
            None => Json::Null,
        },
        (Schema::Union(union), Avro::Union(at, value)) => {
            let branch = union.variants().get(at as usize);
            branch.map_or(Json::Null, |branch| plain(names, branch, *value))
        }
        (Schema::Array(array), Avro::Array(items)) => {
            items.into_iter().map(|item| plain(names, &array.items, item)).collect()
        }
        (Schema::Map(map), Avro::Map(members)) => {
            Json::Object(members.into_iter().map(|(name, value)| (name, plain(names, &map.types, value))).collect())
        }
        (Schema::Record(record), Avro::Record(fields)) => {
            let fields = record.fields.iter().zip(fields);
            Json::Object(fields.map(|(of, (name, value))| (name, plain(names, &of.schema, value))).collect())
        }
        (Schema::Decimal(decimal), Avro::Decimal(value)) => {
            let unscaled = Vec::<u8>::try_from(&value).unwrap_or_default();
            // Anything longer is no amount of anything, and takes time that grows with its square.
            let is_number = unscaled.len() <= DECIMAL_BYTES_MAX && decimal.scale <= DECIMAL_SCALE_MAX;
            if is_number { Json::String(digits(&unscaled, decimal.scale)) } else { base64(&unscaled) }
        }
        (_, Avro::Bytes(bytes) | Avro::Fixed(_, bytes)) => base64(&bytes),
        (_, Avro::Float(number)) => float(number.into()),
        (_, Avro::Double(number)) => float(number),
        (_, value) => Json::try_from(value).unwrap_or_default(),
    }
}

fn float(number: f64) -> Json {
    let name = match number {
        number if number.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        number => return number.into(),
    };
    name.into()
}

/// Two's complement, the highest byte first, with this many digits behind the point.
fn digits(unscaled: &[u8], scale: usize) -> String {
    let number = num_bigint::BigInt::from_signed_bytes_be(unscaled);
    let digits = format!("{:0>width$}", number.magnitude(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if number.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_is_shown_as_text() {
        let field = |of: &str| {
            let schema = format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "f", "type": {of}}}]}}"#);
            Schema::parse_str(&schema).unwrap()
        };
        let shown = |of: &str, value: Avro| {
            let mut read = to_json(&field(of), Avro::Record(vec![("f".to_owned(), value)])).unwrap();
            read["f"].take()
        };
        let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}"#;
        for (unscaled, expected) in
            [(&[0x04, 0xd2][..], "12.34"), (&[0xfb, 0x2e], "-12.34"), (&[7], "0.07"), (&[0xff], "-0.01")]
        {
            assert_eq!(shown(decimal, Avro::Decimal(unscaled.to_vec().into())), expected);
        }
        assert_eq!(shown(r#"{"type": "fixed", "name": "F", "size": 2}"#, Avro::Fixed(2, vec![0, 1])), "AAE=");
        assert_eq!(shown("\"double\"", Avro::Double(f64::NAN)), "NaN");
        assert_eq!(shown("\"float\"", Avro::Float(f32::NEG_INFINITY)), "-Infinity");
        assert_eq!(shown("\"double\"", Avro::Double(1.5)), 1.5);
    }
}
