//! A record that is to be produced.

use std::sync::Arc;

use bytes::Bytes;

use super::Headers;

/// One record for a topic; `partition: None` leaves the choice to the key's hash (murmur2, as Java clients).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub topic: Arc<str>,
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
    /// Milliseconds since the Unix epoch; `None` lets the client set it.
    pub timestamp_ms: Option<i64>,
}
