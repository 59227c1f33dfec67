//! Confluent's wire format: byte 0, a 4-byte big-endian schema id, the Avro datum.

use std::fmt;

/// `content-type` of event data in this format, as the CloudEvents Avro examples have it.
pub const AVRO_CONTENT_TYPE: &str = "application/avro";

pub(super) const HEADER_BYTES: usize = 5;
const MAGIC: u8 = 0;

/// A registry's number of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that are not in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the data is empty; expected a 0 byte, a 4-byte schema id and an Avro datum")]
    Empty,
    #[error("the data begins with byte {0:#04x}; expected 0x00 (Confluent wire format)")]
    Magic(u8),
    #[error("the data ends after {0} bytes; a schema id takes the first 5")]
    Truncated(usize),
}

/// Whether data can be in the format; no text begins like it.
#[must_use]
pub fn is_framed(data: &[u8]) -> bool {
    data.first() == Some(&MAGIC)
}

/// The schema id, and the datum after it.
pub(super) fn split(data: &[u8]) -> Result<(SchemaId, &[u8]), WireError> {
    match data {
        [] => Err(WireError::Empty),
        [MAGIC, a, b, c, d, datum @ ..] => Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), datum)),
        [MAGIC, ..] => Err(WireError::Truncated(data.len())),
        [other, ..] => Err(WireError::Magic(*other)),
    }
}

pub(super) fn header(id: SchemaId) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = id.0.to_be_bytes();
    [MAGIC, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_wrong_has_its_own_error() {
        let check = |data: &[u8], expected: Result<(SchemaId, &[u8]), WireError>| assert_eq!(split(data), expected);
        check(&[], Err(WireError::Empty));
        check(&[1, 0, 0, 0, 1], Err(WireError::Magic(1)));
        check(b"{}", Err(WireError::Magic(b'{')));
        for len in 1..HEADER_BYTES {
            check(&[0; HEADER_BYTES][..len], Err(WireError::Truncated(len)));
        }
        check(&[0, 0, 0, 1, 2], Ok((SchemaId(258), &[])));
        check(&[0, 0xff, 0xff, 0xff, 0xff, 9], Ok((SchemaId(u32::MAX), &[9])));
    }

    #[test]
    fn header_is_what_split_reads() {
        let mut data = header(SchemaId(258)).to_vec();
        data.push(9);
        assert_eq!(split(&data), Ok((SchemaId(258), &[9][..])));
    }
}
