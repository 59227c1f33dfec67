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

#[cfg(test)]
impl Outgoing {
    /// Topic, key, headers and value, as golden files have them.
    #[must_use]
    pub fn dump(&self) -> String {
        use std::fmt::Write as _;

        let mut text = format!("topic: {}\nkey: {:?}\n", self.topic, self.key);
        for (name, value) in self.headers.iter() {
            let value = String::from_utf8_lossy(value.unwrap_or(b"null"));
            writeln!(text, "{}: {value}", String::from_utf8_lossy(name)).unwrap();
        }
        for line in self.value.as_deref().unwrap_or_default().chunks(32) {
            let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "  {}", hex.join(" ")).unwrap();
        }
        text
    }
}
