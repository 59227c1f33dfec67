//! The record that a letter was, to be sent again: key, value and headers as they came, our headers gone, the redrive's
//! number in place of the last one's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Letter, STATE_TOPIC};
use crate::dispatch::hop;
use crate::event::{Event, HeadersBuilder, Outgoing, Record};

/// Headers that say why a record was put away: ours, and those of the profiles that other tools read.
const PUT_AWAY_BY: [&[u8]; 5] =
    [hop::PREFIX, b"kafka_dlt-", b"retry_topic-", b"__connect.errors.", b"__streams.errors."];

/// A source topic that letters may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub partitions: i32,
}

/// The topics that letters may be sent to, by name.
pub type Sources = BTreeMap<String, Source>;

/// What is sent for a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) record: Outgoing,
    /// `None` if it is no event.
    pub(super) event_id: Option<String>,
}

/// Why a letter is not sent. It stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it does not say which topic it came from; `coafi dlq redrive --into` names one")]
    NoOrigin,
    #[error("it says that it came from {origin}, whose records are not put away here")]
    Elsewhere { origin: String },
    #[error("there is no topic {topic}")]
    NoTopic { topic: String },
    #[error("its value was left out because of its size, and the original is gone from {place}")]
    ValueGone { place: String },
    #[error("{count} of its headers were left out because of their size, and the original is gone from {place}")]
    HeadersGone { count: u32, place: String },
    #[error("what is at {place} is not the original")]
    NotTheOriginal { place: String },
    #[error("{count} of its headers have names that are not UTF-8, which this client cannot send")]
    Unreadable { count: u32 },
    #[error("the topic does not take it: {message}")]
    NotTaken { message: String },
    #[error("no route takes type {event_type:?} from source {event_source:?}")]
    NoRoute { event_type: String, event_source: String },
    #[error("route {route:?} takes it, and is disabled")]
    RouteDisabled { route: String },
    #[error("it is no event, so no route can take it")]
    NoEvent,
    #[error("it is not lost: {place} is still to be handled by group {group}, which stands at {position}")]
    StillToCome { place: String, group: String, position: i64 },
    #[error("it is {what}")]
    ActedOn { what: String },
    #[error("what was done with it is not known: record {offset} of {STATE_TOPIC} cannot be decoded")]
    StateUnknown { offset: i64 },
}

impl Letter {
    /// The topic that it goes back to. `into` stands in where the letter does not say.
    ///
    /// # Errors
    /// It does not say, or says what cannot be: whoever may write to a dead-letter topic must not choose what is written to.
    pub(super) fn destination<'a>(&'a self, into: Option<&'a str>, sources: &Sources) -> Result<&'a str, Refusal> {
        let topic = match (&self.origin, into) {
            (Some(origin), _) => origin.topic.as_str(),
            (None, Some(into)) => into,
            (None, None) => return Err(Refusal::NoOrigin),
        };
        if !sources.contains_key(topic) {
            return Err(match self.origin {
                Some(_) => Refusal::Elsewhere { origin: topic.to_owned() },
                None => Refusal::NoTopic { topic: topic.to_owned() },
            });
        }
        Ok(topic)
    }

    /// The record to send to this partition of `topic`. `found` is what stands at the origin, for a letter that is not whole.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(super) fn original(
        &self,
        topic: &str,
        partition: i32,
        number: u32,
        found: Option<&Record>,
    ) -> Result<Original, Refusal> {
        if self.unreadable_headers > 0 {
            return Err(Refusal::Unreadable { count: self.unreadable_headers });
        }
        let record = if self.is_whole() { &self.record } else { self.same(found)? };
        let event_id = Event::parse(record.clone()).ok().map(|event| event.id().to_owned());
        let key = record.key();
        let headers = record.headers();
        let mut kept = HeadersBuilder::with_capacity(headers.size() + hop::REDRIVE.len() + 16);
        // Which run derived it stays true: what a replay derived is no event of the live run.
        let stays = |name: &[u8]| name == hop::RUN.as_bytes() || !PUT_AWAY_BY.iter().any(|by| name.starts_with(by));
        for (name, value) in headers.iter().filter(|(name, _)| stays(name)) {
            kept.push(name, value);
        }
        let record = Outgoing {
            topic: Arc::from(topic),
            partition: Some(partition),
            key: key.map(Bytes::copy_from_slice),
            value: record.value_bytes(),
            headers: kept.with(hop::REDRIVE, number.to_string()).build(),
            timestamp_ms: None,
        };
        Ok(Original { record, event_id })
    }

    /// The record at the origin, if it is the one that this letter was.
    fn same<'r>(&self, found: Option<&'r Record>) -> Result<&'r Record, Refusal> {
        let place = || match &self.origin {
            Some(origin) => format!("{}[{}]@{}", origin.topic, origin.partition, origin.offset),
            None => "an unknown place".to_owned(),
        };
        let Some(record) = found else {
            return Err(match self.omitted_value {
                Some(_) => Refusal::ValueGone { place: place() },
                None => Refusal::HeadersGone { count: self.dropped_headers, place: place() },
            });
        };
        let same_value = match &self.omitted_value {
            Some(omitted) => *omitted == described(record.value().unwrap_or_default()),
            None => record.value() == self.record.value(),
        };
        if same_value && record.key() == self.record.key() {
            Ok(record)
        } else {
            Err(Refusal::NotTheOriginal { place: place() })
        }
    }
}

/// A value as [`hop::OMITTED_VALUE`] describes it.
fn described(value: &[u8]) -> String {
    let mut text = format!("bytes={} sha256=", value.len());
    for byte in Sha256::digest(value) {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{OURS, record};
    use super::*;

    fn sources() -> Sources {
        [("coafi.git".to_owned(), Source { partitions: 12 })].into()
    }

    fn original(letter: &Letter, found: Option<&Record>) -> Result<Outgoing, Refusal> {
        letter.original("coafi.git", 7, 2, found).map(|original| original.record)
    }

    #[test]
    fn the_original_comes_back_under_a_number_of_its_own() {
        let theirs =
            [("kafka_dlt-original-topic", "x"), ("x-foreign", "1"), (hop::REDRIVE, "1"), (hop::RUN, "replay-1")];
        let letter = Letter::read(record(Some(b"\x00value"), &[&OURS[..], &theirs].concat()));
        assert_eq!(letter.destination(None, &sources()), Ok("coafi.git"));
        let sent = original(&letter, None).unwrap();
        assert_eq!((sent.key.as_deref(), sent.value.as_deref()), (Some(&b"key"[..]), Some(&b"\x00value"[..])));
        assert_eq!(sent.partition, Some(7));
        let headers: Vec<_> = sent.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(headers, ["ce_id", "ce_source", "ce_type", "traceparent", "x-foreign", hop::RUN, hop::REDRIVE]);
        assert_eq!(sent.headers.text(hop::REDRIVE), Some("2"));
    }

    #[test]
    fn a_letter_goes_where_its_records_come_from_and_nowhere_else() {
        let foreign = Letter::read(record(Some(b"v"), &[]));
        assert_eq!(foreign.destination(None, &sources()), Err(Refusal::NoOrigin));
        assert_eq!(foreign.destination(Some("coafi.git"), &sources()), Ok("coafi.git"));
        assert_eq!(foreign.destination(Some("x"), &sources()), Err(Refusal::NoTopic { topic: "x".into() }));
        let forged = Letter::read(record(Some(b"v"), &[&OURS[..], &[(hop::ORIGIN_TOPIC, "payments")]].concat()));
        let elsewhere = Refusal::Elsewhere { origin: "payments".into() };
        assert_eq!(forged.destination(Some("coafi.git"), &sources()), Err(elsewhere));
    }

    #[test]
    fn what_was_left_out_is_fetched_or_the_letter_stays() {
        let omitted = described(b"the value");
        let letter = Letter::read(record(None, &[&OURS[..], &[(hop::OMITTED_VALUE, &omitted)]].concat()));
        let there = record(Some(b"the value"), &[("ce_id", "1")]);
        assert_eq!(original(&letter, Some(&there)).unwrap().value.as_deref(), Some(&b"the value"[..]));
        let gone = original(&letter, None).unwrap_err().to_string();
        assert!(gone.contains("gone from coafi.git[2]@77"), "{gone}");
        let other = record(Some(b"another"), &[]);
        assert!(matches!(original(&letter, Some(&other)), Err(Refusal::NotTheOriginal { .. })));

        let fewer = Letter::read(record(Some(b"v"), &[&OURS[..], &[(hop::DROPPED_HEADERS, "3")]].concat()));
        assert!(matches!(original(&fewer, None), Err(Refusal::HeadersGone { count: 3, .. })));
        let whole = record(Some(b"v"), &[("ce_id", "1"), ("x-large", "x")]);
        assert_eq!(original(&fewer, Some(&whole)).unwrap().headers.text("x-large"), Some("x"));
    }
}
