//! What a record takes in the log, about.

use crate::event::Outgoing;

/// Lengths, attributes and deltas of a record.
const FRAMING: usize = 40;

pub(super) fn size(record: &Outgoing) -> usize {
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    FRAMING + length(&record.key) + length(&record.value) + record.headers.size()
}
