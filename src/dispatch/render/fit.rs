//! Makes a forwarded record fit its topic's limit without touching key or value.
//!
//! Room is made by leaving headers out, and the record says how many. In order: foreign headers, the largest first; our texts
//! (message, place), and what is written for other tools; then, for a dead letter, the event's own attributes, the largest first; at last everything. The record
//! was accepted by a broker with these very key and value, so without headers it fits; where it does not (a larger limit was in
//! force then), the value is left out, and its size and SHA-256 say which it was: it is still at its origin.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::dispatch::hop;
use crate::event::{Headers, HeadersBuilder, Record};

/// What a record batch and a record take besides key, value and headers, at most (Kafka's message format 2).
const RECORD_OVERHEAD: usize = 61 + 36;
/// What a header takes besides name and value, at most.
const HEADER_OVERHEAD: usize = 10;
/// Room for the header that says how many were left out.
const MARKER_BYTES: usize = hop::DROPPED_HEADERS.len() + 10 + HEADER_OVERHEAD;

/// What may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// The record will be handled again: its attributes and our counters must stay.
    Attributes,
    /// The record is put away: only key and value must stay.
    KeyAndValue,
}

/// A header of ours, in order of importance within its record: later ones are left out first.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) name: &'static str,
    pub(super) value: Bytes,
    /// Left out before any attribute of the event is.
    pub(super) is_expendable: bool,
}

impl Own {
    pub(super) fn fact(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: value.to_string().into(), is_expendable: false }
    }

    pub(super) fn text(name: &'static str, value: &str, max_bytes: usize) -> Self {
        let value = value[..value.floor_char_boundary(max_bytes)].to_owned();
        Self { name, value: value.into(), is_expendable: true }
    }

    /// For tools of others, in their bytes; what it says stands in a fact or text too.
    pub(super) fn courtesy(name: &'static str, value: impl Into<Bytes>) -> Self {
        Self { name, value: value.into(), is_expendable: true }
    }
}

pub(super) struct Fitted {
    pub(super) value: Option<Bytes>,
    pub(super) headers: Headers,
}

/// The order in which headers are left out; the later, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Fact,
    Attribute,
    Expendable,
    Foreign,
}

struct Candidate<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
    rank: Rank,
    kept: bool,
}

impl Candidate<'_> {
    fn size(&self) -> usize {
        self.name.len() + self.value.map_or(0, <[u8]>::len) + HEADER_OVERHEAD
    }
}

/// `None` if the record cannot fit under `keep`.
pub(super) fn fit(record: &Record, own: &[Own], keep: Keep, max_bytes: usize) -> Option<Fitted> {
    let key = record.key().map_or(0, <[u8]>::len);
    let value = record.value_bytes();
    let bare = RECORD_OVERHEAD + key + value.as_ref().map_or(0, Bytes::len);
    let headers = record.headers();
    if bare <= max_bytes {
        let headers = choose(&headers, own, keep, max_bytes - bare)?;
        return Some(Fitted { value, headers });
    }
    if keep == Keep::Attributes {
        return None;
    }
    let value = value.unwrap_or_default();
    let mut own = own.to_vec();
    own.insert(0, Own::fact(hop::OMITTED_VALUE, format!("bytes={} sha256={}", value.len(), sha256(&value))));
    let room = max_bytes.saturating_sub(RECORD_OVERHEAD + key);
    Some(Fitted { value: None, headers: choose(&headers, &own, keep, room)? })
}

fn choose(original: &Headers, own: &[Own], keep: Keep, room: usize) -> Option<Headers> {
    let is_replaced = |name: &[u8]| is_ours(name) || own.iter().any(|own| own.name.as_bytes() == name);
    let theirs = original.iter().filter(|(name, _)| !is_replaced(name));
    let mut all: Vec<Candidate<'_>> = theirs
        .map(|(name, value)| Candidate { name, value, rank: rank(name), kept: true })
        .chain(own.iter().map(|own| Candidate {
            name: own.name.as_bytes(),
            value: Some(&own.value),
            rank: if own.is_expendable { Rank::Expendable } else { Rank::Fact },
            kept: true,
        }))
        .collect();
    let dropped = drop_until_it_fits(&mut all, keep, room)?;
    let mut headers = HeadersBuilder::with_capacity(all.iter().map(Candidate::size).sum());
    for candidate in all.iter().filter(|candidate| candidate.kept) {
        headers.push(candidate.name, candidate.value);
    }
    if dropped.count > 0 && dropped.marked {
        headers = headers.with(hop::DROPPED_HEADERS, dropped.count.to_string());
    }
    Some(headers.build())
}

struct Dropped {
    count: usize,
    /// There is room to say so.
    marked: bool,
}

fn drop_until_it_fits(all: &mut [Candidate<'_>], keep: Keep, room: usize) -> Option<Dropped> {
    let mut total: usize = all.iter().map(Candidate::size).sum();
    if total <= room {
        return Some(Dropped { count: 0, marked: false });
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    // Largest first within a rank; of our facts the last first.
    order.sort_by_key(|&i| {
        let size = if all[i].rank == Rank::Fact { i } else { all[i].size() };
        std::cmp::Reverse((all[i].rank, size))
    });
    let mut count = 0;
    for index in order {
        let candidate = &mut all[index];
        if keep == Keep::Attributes && matches!(candidate.rank, Rank::Attribute | Rank::Fact) {
            return None;
        }
        candidate.kept = false;
        count += 1;
        total -= candidate.size();
        if total + MARKER_BYTES <= room {
            return Some(Dropped { count, marked: true });
        }
    }
    Some(Dropped { count, marked: false })
}

/// Ours are written anew at every hop, so that they never accumulate. A redrive's number belongs to the event.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(hop::PREFIX) && ![hop::REDRIVE.as_bytes(), hop::RUN.as_bytes()].contains(&name)
}

fn rank(name: &[u8]) -> Rank {
    let attribute = name.starts_with(b"ce_")
        || name.eq_ignore_ascii_case(b"content-type")
        || [hop::REDRIVE.as_bytes(), hop::RUN.as_bytes(), b"traceparent", b"tracestate"].contains(&name);
    if attribute { Rank::Attribute } else { Rank::Foreign }
}

fn sha256(value: &[u8]) -> String {
    Sha256::digest(value).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes all");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    /// As the broker counts: varints at their longest for the sizes at hand.
    fn size(record: &Record, fitted: &Fitted) -> usize {
        let headers: usize = fitted.headers.iter().map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len) + 2 * 5).sum();
        61 + 36 + record.key().map_or(0, <[u8]>::len) + fitted.value.as_ref().map_or(0, Bytes::len) + headers
    }

    fn record(value: usize, headers: &[(&str, usize)]) -> Record {
        let mut builder = RecordBuilder::new(Some(b"key"), Some(&vec![7; value]), 0);
        for (name, bytes) in headers {
            builder.header(name.as_bytes(), Some(&vec![b'h'; *bytes]));
        }
        builder.build("coafi.git".into(), 0, Offset(0), None)
    }

    fn own() -> Vec<Own> {
        vec![
            Own::fact(hop::ORIGIN_TOPIC, "coafi.git"),
            Own::fact(hop::ATTEMPT, 7),
            Own::text(hop::ERROR_MESSAGE, &"m".repeat(9_000), 2_048),
        ]
    }

    fn names(fitted: &Fitted) -> Vec<String> {
        fitted.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn a_dead_letter_of_a_record_at_the_limit_fits() {
        const LIMIT: usize = 20_000;
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for case in 0..5_000 {
            let named = ["ce_id", "ce_subject", "content-type", "x-foreign", "traceparent", "coafi-attempt", "y"];
            let headers: Vec<_> = (0..random(12)).map(|_| (named[random(named.len())], random(3_000))).collect();
            let taken: usize = headers.iter().map(|(name, bytes)| name.len() + bytes + HEADER_OVERHEAD).sum();
            let room = LIMIT.saturating_sub(RECORD_OVERHEAD + 3 + taken);
            // At the limit, just below it, anywhere; sometimes beyond it.
            let value = [room, room.saturating_sub(random(200)), random(LIMIT), LIMIT + random(LIMIT)][random(4)];
            let record = record(value, &headers);
            let fitted = fit(&record, &own(), Keep::KeyAndValue, LIMIT).expect("a dead letter always fits");
            assert!(size(&record, &fitted) <= LIMIT, "case {case}: {value} bytes, {headers:?}");
            match &fitted.value {
                Some(kept) => assert_eq!(Some(&kept[..]), record.value(), "case {case}"),
                None => assert!(fitted.headers.text(hop::OMITTED_VALUE).is_some(), "case {case}"),
            }
            if let Some(retry) = fit(&record, &own(), Keep::Attributes, LIMIT) {
                assert!(size(&record, &retry) <= LIMIT, "case {case}");
                let count = |list: &[String]| list.iter().filter(|name| name.starts_with("ce_")).count();
                let before: Vec<_> = headers.iter().map(|(name, _)| (*name).to_owned()).collect();
                assert_eq!(count(&names(&retry)), count(&before), "case {case}");
                assert_eq!(retry.headers.text(hop::ATTEMPT), Some("7"), "case {case}");
            }
        }
    }

    #[test]
    fn foreign_headers_go_first_and_the_record_says_how_many() {
        let record = record(1_000, &[("x-small", 10), ("ce_id", 100), ("x-large", 5_000)]);
        let fitted = fit(&record, &own(), Keep::KeyAndValue, 4_000).unwrap();
        let expected = ["x-small", "ce_id", hop::ORIGIN_TOPIC, hop::ATTEMPT, hop::ERROR_MESSAGE, hop::DROPPED_HEADERS];
        assert_eq!(names(&fitted), expected);
        assert_eq!(fitted.headers.text(hop::DROPPED_HEADERS), Some("1"));
        let fitted = fit(&record, &own(), Keep::KeyAndValue, 1_600).unwrap();
        assert_eq!(names(&fitted), ["ce_id", hop::ORIGIN_TOPIC, hop::ATTEMPT, hop::DROPPED_HEADERS]);
    }

    #[test]
    fn our_headers_replace_those_of_the_hop_before() {
        let record = record(10, &[("coafi-attempt", 3), ("coafi-redrive", 1), ("coafi-foreign", 1)]);
        let fitted = fit(&record, &own(), Keep::Attributes, 10_000).unwrap();
        assert_eq!(names(&fitted), ["coafi-redrive", hop::ORIGIN_TOPIC, hop::ATTEMPT, hop::ERROR_MESSAGE]);
    }

    #[test]
    fn a_retry_that_would_lose_an_attribute_does_not_fit() {
        let record = record(1_000, &[("ce_subject", 3_000)]);
        assert!(fit(&record, &own(), Keep::Attributes, 4_000).is_none());
        assert!(fit(&record, &own(), Keep::Attributes, 8_000).is_some());
    }

    #[test]
    fn a_tombstone_stays_one() {
        let tombstone = RecordBuilder::new(Some(b"k"), None, 0).build("t".into(), 0, Offset(0), None);
        let fitted = fit(&tombstone, &own(), Keep::KeyAndValue, 10_000).unwrap();
        assert!(fitted.value.is_none() && fitted.headers.text(hop::OMITTED_VALUE).is_none());
    }
}
