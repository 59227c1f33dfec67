//! Kafka record headers in one contiguous buffer: an ordered list in which names may repeat and values may be null.
//!
//! Layout, per header: name length (u32 LE), value length (i32 LE, -1 for null), name, value.

use bytes::{BufMut, Bytes, BytesMut};

/// The headers of one record. Cheap to clone: a reference-counted range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    pub(crate) const fn from_encoded(encoded: Bytes) -> Self {
        Self(encoded)
    }

    /// All headers in their order: name (Kafka says UTF-8, clients send anything) and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (name, value, tail) = split(rest)?;
            rest = tail;
            Some((name, value))
        })
    }

    /// The last header of this name, as Kafka's own `lastHeader`. `None` if there is none or its value is null.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| *n == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// [`Self::last`] as text; `None` too if it is not UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.last(name)?).ok()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Size of names and values with their lengths, in bytes: within a few bytes of what the broker counts.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// Name, value and what follows.
type First<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn split(bytes: &[u8]) -> Option<First<'_>> {
    let (lengths, rest) = bytes.split_at_checked(8)?;
    let name_len = u32::from_le_bytes(lengths[..4].try_into().ok()?) as usize;
    let value_len = i32::from_le_bytes(lengths[4..].try_into().ok()?);
    let (name, rest) = rest.split_at_checked(name_len)?;
    match usize::try_from(value_len) {
        Ok(len) => {
            let (value, rest) = rest.split_at_checked(len)?;
            Some((name, Some(value), rest))
        }
        Err(_) => Some((name, None, rest)),
    }
}

/// Collects headers into one buffer.
#[derive(Debug, Default)]
pub struct HeadersBuilder(BytesMut);

impl HeadersBuilder {
    /// `bytes` is a hint for the allocation.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(name.as_bytes(), Some(value.as_ref()));
        self
    }

    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        encode(&mut self.0, name, value);
    }

    #[must_use]
    pub fn build(self) -> Headers {
        Headers(self.0.freeze())
    }
}

pub(crate) fn encode(into: &mut BytesMut, name: &[u8], value: Option<&[u8]>) {
    into.put_u32_le(u32::try_from(name.len()).expect("Kafka bounds a record below 2 GiB"));
    into.put_i32_le(value.map_or(-1, |v| i32::try_from(v.len()).expect("Kafka bounds a record below 2 GiB")));
    into.put_slice(name);
    into.put_slice(value.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_repeats_nulls_and_foreign_bytes() {
        let mut builder = HeadersBuilder::default().with("a", "1");
        builder.push(b"\xff", None);
        builder.push(b"a", Some(b""));
        let headers = builder.build();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [(&b"a"[..], Some(&b"1"[..])), (b"\xff", None), (b"a", Some(b""))]);
        assert_eq!(headers.last("a"), Some(&b""[..]));
        assert_eq!(headers.last("b"), None);
    }

    #[test]
    fn truncated_bytes_end_the_list() {
        let whole = HeadersBuilder::default().with("name", "value").build();
        for cut in 0..whole.0.len() {
            assert_eq!(Headers(whole.0.slice(..cut)).iter().count(), 0, "cut at {cut}");
        }
    }
}
