//! One record as it was polled, in one allocation.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::{self, Headers};
use super::{Offset, Timestamp, TimestampKind, TopicPartition};

/// A Kafka record. Key, value and headers are ranges of one reference-counted buffer, so a clone copies no bytes.
#[derive(Clone, Debug)]
pub struct Record {
    topic: Arc<str>,
    partition: i32,
    offset: Offset,
    timestamp: Option<Timestamp>,
    buffer: Bytes,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers: Range<u32>,
}

impl Record {
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }

    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }

    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The broker's or producer's timestamp, milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp.map(|timestamp| timestamp.ms)
    }

    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.clone().map(|range| self.slice(range))
    }

    /// The value; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|range| self.slice(range))
    }

    /// The value without copying it.
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.clone().map(|range| self.buffer.slice(to_usize(range)))
    }

    #[must_use]
    pub fn headers(&self) -> Headers {
        Headers::from_encoded(self.buffer.slice(to_usize(self.headers.clone())))
    }

    /// Bytes that this record holds in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    fn slice(&self, range: Range<u32>) -> &[u8] {
        &self.buffer[to_usize(range)]
    }
}

fn to_usize(range: Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Builds a [`Record`]: key and value first, then headers, so that the buffer is sized once.
#[derive(Debug)]
pub struct RecordBuilder {
    buffer: BytesMut,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers_start: u32,
    timestamp_kind: TimestampKind,
}

impl RecordBuilder {
    /// `headers_size` is a hint for the allocation; what is wrong with it costs only a reallocation.
    #[must_use]
    pub fn new(key: Option<&[u8]>, value: Option<&[u8]>, headers_size: usize) -> Self {
        let payload = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let mut buffer = BytesMut::with_capacity(payload + headers_size);
        let mut put = |bytes: &[u8]| {
            let start = position(&buffer);
            buffer.put_slice(bytes);
            start..position(&buffer)
        };
        let key = key.map(&mut put);
        let value = value.map(&mut put);
        let headers_start = position(&buffer);
        Self { buffer, key, value, headers_start, timestamp_kind: TimestampKind::CreateTime }
    }

    pub fn header(&mut self, name: &[u8], value: Option<&[u8]>) {
        headers::encode(&mut self.buffer, name, value);
    }

    /// The timestamp is the broker's.
    pub fn log_append_time(&mut self) {
        self.timestamp_kind = TimestampKind::LogAppendTime;
    }

    #[must_use]
    pub fn build(self, topic: Arc<str>, partition: i32, offset: Offset, timestamp_ms: Option<i64>) -> Record {
        let headers = self.headers_start..position(&self.buffer);
        Record {
            topic,
            partition,
            offset,
            timestamp: timestamp_ms.map(|ms| Timestamp { ms, kind: self.timestamp_kind }),
            buffer: self.buffer.freeze(),
            key: self.key,
            value: self.value,
            headers,
        }
    }
}

fn position(buffer: &BytesMut) -> u32 {
    u32::try_from(buffer.len()).expect("Kafka bounds a record below 2 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_value_and_headers_come_back_as_they_went_in() {
        let mut builder = RecordBuilder::new(Some(b"k"), Some(b"value"), 16);
        builder.header(b"ce_id", Some(b"1"));
        let record = builder.build("t".into(), 3, Offset(7), Some(1));
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"value"[..])));
        assert_eq!(record.headers().text("ce_id"), Some("1"));
        assert_eq!(record.topic_partition().to_string(), "t[3]");
    }

    #[test]
    fn an_absent_key_is_not_an_empty_one_and_a_tombstone_has_no_value() {
        let tombstone = RecordBuilder::new(None, None, 0).build("t".into(), 0, Offset(0), None);
        assert_eq!((tombstone.key(), tombstone.value()), (None, None));
        let empty = RecordBuilder::new(Some(b""), Some(b""), 0).build("t".into(), 0, Offset(0), None);
        assert_eq!((empty.key(), empty.value()), (Some(&b""[..]), Some(&b""[..])));
    }
}
