//! A record that was put away, as its headers tell it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::placing::Placed;
use crate::dispatch::hop::{self, Origin};
use crate::event::{Event, Headers, Record, Timestamp};
use crate::kafka::UNREADABLE_HEADERS;
use crate::schema::payloads::{LetterState, Place};

/// Names a letter: `topic/partition/offset`, which is also the key of its state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no letter; allowed: TOPIC/PARTITION/OFFSET, such as coafi.git.dlq/3/42")]
pub struct NotALetterId(String);

impl LetterId {
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self { topic: Arc::clone(record.topic()), partition: record.partition(), offset: record.offset().0 }
    }

    #[must_use]
    pub fn place(&self) -> Place<'static> {
        Place { topic: self.topic.to_string().into(), partition: self.partition, offset: self.offset }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = NotALetterId;

    fn from_str(text: &str) -> Result<Self, NotALetterId> {
        let mut parts = text.rsplitn(3, '/');
        let mut next = || parts.next().ok_or_else(|| NotALetterId(text.to_owned()));
        let (offset, partition, topic) = (next()?, next()?, next()?);
        match (topic, partition.parse(), offset.parse()) {
            ("", ..) => Err(NotALetterId(text.to_owned())),
            (topic, Ok(partition @ 0..), Ok(offset @ 0..)) => Ok(Self { topic: topic.into(), partition, offset }),
            _ => Err(NotALetterId(text.to_owned())),
        }
    }
}

/// A record that was put away. Headers that are missing or not ours are `None`: somebody else may have written it.
#[derive(Clone, Debug)]
pub struct Letter {
    pub record: Record,
    /// Where it first stood.
    pub origin: Option<Origin>,
    /// When it was written there, in milliseconds since the Unix epoch.
    pub origin_ms: Option<i64>,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    /// CloudEvents `source`.
    pub source: Option<String>,
    pub correlation_id: Option<String>,
    /// The failure's class; an unprocessed event has none.
    pub class: Option<String>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub location: Option<String>,
    pub handler: Option<String>,
    pub route: Option<String>,
    /// Why no route took it, of an unprocessed event.
    pub reason: Option<String>,
    pub attempts: Option<u32>,
    pub first_failure_ms: Option<i64>,
    /// The redrive that sent what failed here; 0 if it had not been redriven.
    pub redrive: u32,
    /// Original headers that did not fit.
    pub dropped_headers: u32,
    /// Original headers that this client cannot read.
    pub unreadable_headers: u32,
    /// Size and hash of a value that did not fit: it is still at its origin, or nowhere.
    pub omitted_value: Option<String>,
}

impl Letter {
    #[must_use]
    pub fn read(record: Record) -> Self {
        let headers = record.headers();
        let text = |name| headers.text(name).map(str::to_owned);
        let event = Event::parse(record.clone()).ok();
        // A value that was left out makes no event, but its attributes are still there.
        let attribute = |of_event: fn(&Event) -> &str, header: &str| {
            event.as_ref().map(|event| of_event(event).to_owned()).or_else(|| headers.text(header).map(str::to_owned))
        };
        Self {
            origin: origin(&headers),
            origin_ms: number(&headers, hop::ORIGIN_TIMESTAMP).map(|Timestamp { ms, .. }| ms),
            event_id: attribute(Event::id, "ce_id"),
            event_type: attribute(Event::event_type, "ce_type"),
            source: attribute(Event::source, "ce_source"),
            correlation_id: event.as_ref().map(|event| event.correlation_id().to_owned()),
            class: text(hop::ERROR_CLASS),
            code: text(hop::ERROR_CODE),
            message: text(hop::ERROR_MESSAGE),
            location: text(hop::ERROR_LOCATION),
            handler: text(hop::HANDLER),
            route: text(hop::ROUTE),
            reason: text(hop::REASON),
            attempts: number(&headers, hop::ATTEMPT),
            first_failure_ms: number(&headers, hop::FIRST_FAILURE),
            redrive: number(&headers, hop::REDRIVE).unwrap_or(0),
            dropped_headers: number(&headers, hop::DROPPED_HEADERS).unwrap_or(0),
            unreadable_headers: number(&headers, UNREADABLE_HEADERS).unwrap_or(0),
            omitted_value: text(hop::OMITTED_VALUE),
            record,
        }
    }

    #[must_use]
    pub fn id(&self) -> LetterId {
        LetterId::of(&self.record)
    }

    /// The number of its next redrive, after what was done with it.
    #[must_use]
    pub fn redrive_after(&self, state: Option<&LetterState>) -> i32 {
        let next = i32::try_from(self.redrive.saturating_add(1)).unwrap_or(i32::MAX);
        state.map_or(next, |state| next.max(state.redrive.saturating_add(1)))
    }

    /// Where it stood, and when it was written there or, if that is not said, put away at the latest.
    pub(super) fn placed(&self) -> Placed<'_> {
        let written_ms = self.origin_ms.or_else(|| self.record.timestamp_ms());
        Placed { key: self.record.key(), origin: self.origin.as_ref(), written_ms }
    }

    /// Whether the record is the original in all but our headers, so that it can be sent without its origin's help.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.omitted_value.is_none() && self.dropped_headers == 0
    }
}

fn origin(headers: &Headers) -> Option<Origin> {
    Some(Origin {
        topic: headers.text(hop::ORIGIN_TOPIC)?.to_owned(),
        partition: number(headers, hop::ORIGIN_PARTITION)?,
        offset: number(headers, hop::ORIGIN_OFFSET)?,
    })
}

/// A number, or what else is read from text.
fn number<N: FromStr>(headers: &Headers, name: &str) -> Option<N> {
    headers.text(name)?.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    pub(in crate::dlq) fn record(value: Option<&[u8]>, headers: &[(&str, &str)]) -> Record {
        let mut builder = RecordBuilder::new(Some(b"key"), value, 0);
        for (name, value) in headers {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        builder.build("coafi.git.dlq".into(), 3, Offset(42), Some(1_000))
    }

    pub(in crate::dlq) const OURS: [(&str, &str); 9] = [
        ("ce_id", "1"),
        ("ce_source", "/s"),
        ("ce_type", "git.push"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        (hop::ORIGIN_TOPIC, "coafi.git"),
        (hop::ORIGIN_PARTITION, "2"),
        (hop::ORIGIN_OFFSET, "77"),
        (hop::ERROR_CLASS, "permanent"),
        (hop::ATTEMPT, "1"),
    ];

    #[test]
    fn headers_tell_what_happened() {
        let letter = Letter::read(record(Some(b"v"), &OURS));
        assert_eq!(letter.id().to_string(), "coafi.git.dlq/3/42");
        assert_eq!(letter.origin, Some(Origin { topic: "coafi.git".into(), partition: 2, offset: 77 }));
        assert_eq!((letter.event_id.as_deref(), letter.class.as_deref()), (Some("1"), Some("permanent")));
        assert_eq!((letter.attempts, letter.redrive, letter.is_whole()), (Some(1), 0, true));
    }

    #[test]
    fn a_letter_without_its_value_still_names_its_event() {
        let omitted = [&OURS[..], &[(hop::OMITTED_VALUE, "bytes=9 sha256=00")]].concat();
        let letter = Letter::read(record(None, &omitted));
        assert_eq!((letter.event_type.as_deref(), letter.is_whole()), (Some("git.push"), false));
    }

    #[test]
    fn what_others_wrote_has_no_origin() {
        let letter = Letter::read(record(Some(b"v"), &[("x", "y"), (hop::ORIGIN_TOPIC, "coafi.git")]));
        assert_eq!((letter.origin, letter.class, letter.event_id), (None, None, None));
    }

    #[test]
    fn an_id_comes_back_as_it_was_printed() {
        for (text, good) in [
            ("coafi.git.dlq/3/42", true),
            ("a/0/0", true),
            ("/0/0", false),
            ("coafi.git.dlq/3", false),
            ("coafi.git.dlq/-1/0", false),
            ("coafi.git.dlq/3/x", false),
            ("", false),
        ] {
            let parsed = text.parse::<LetterId>();
            assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), good.then_some(text), "{text:?}");
        }
    }
}
