//! What COAFI's own headers say about a record that has been handled before: how often, what succeeded, when it is due again,
//! where it first stood. They are written by [`super::render`] and believed on retry topics only: on a source topic they
//! are foreign.

use crate::dispatch::ConsumedTopic;
use crate::event::{Headers, Record, Timestamp};

pub const ATTEMPT: &str = "coafi-attempt";
/// Handlers that have succeeded, by name and separated by commas, so that a change of the route's list misleads nobody.
pub const DONE: &str = "coafi-done";
/// Milliseconds since the Unix epoch.
pub const NOT_BEFORE: &str = "coafi-not-before";
/// Milliseconds since the Unix epoch.
pub const FIRST_FAILURE: &str = "coafi-first-failure";
pub const ERROR_CLASS: &str = "coafi-error-class";
pub const ERROR_CODE: &str = "coafi-error-code";
pub const ERROR_MESSAGE: &str = "coafi-error-message";
pub const ERROR_LOCATION: &str = "coafi-error-location";
pub const HANDLER: &str = "coafi-handler";
pub const ROUTE: &str = "coafi-route";
pub const REASON: &str = "coafi-reason";
pub const ORIGIN_TOPIC: &str = "coafi-origin-topic";
pub const ORIGIN_PARTITION: &str = "coafi-origin-partition";
pub const ORIGIN_OFFSET: &str = "coafi-origin-offset";
/// As [`Timestamp`] writes it: the record has another one in each topic that it is moved to.
pub const ORIGIN_TIMESTAMP: &str = "coafi-origin-timestamp";
/// The number of a redrive from a dead-letter topic; outlives a hop.
pub const REDRIVE: &str = "coafi-redrive";
/// The replay by which an event was derived; outlives a hop too, and is handed on to what is derived from the event.
pub const RUN: &str = "coafi-run";
/// How many headers were left out so that the record fits.
pub const DROPPED_HEADERS: &str = "coafi-dropped-headers";
/// Size and SHA-256 of a value that exceeds the broker's limit by itself: it is still at the origin.
pub const OMITTED_VALUE: &str = "coafi-omitted-value";
/// Every header of ours begins with this.
pub const PREFIX: &[u8] = b"coafi-";

/// More attempts than any policy allows: such a number is not ours.
const MAX_ATTEMPTS: u32 = 100_000;

/// A header of ours that we cannot have written. Poison: a guess could repeat or skip an attempt (I6).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {name} is {value:?}; allowed: {allowed}")]
pub struct HopError {
    pub name: &'static str,
    pub value: String,
    pub allowed: &'static str,
}

/// Read from a record of a retry topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hop {
    /// Attempts committed before.
    pub attempts: u32,
    pub done: Vec<String>,
    pub not_before_ms: Option<i64>,
    pub first_failure_ms: Option<i64>,
    pub origin: Option<Origin>,
    pub origin_timestamp: Option<Timestamp>,
}

/// Where a record stood before its first hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl Hop {
    /// `None` on a source topic.
    ///
    /// # Errors
    /// The header that is not ours. One that is absent is taken as never written.
    pub fn read(topic: ConsumedTopic<'_>, record: &Record) -> Result<Option<Self>, HopError> {
        if topic.tier.is_none() {
            return Ok(None);
        }
        let headers = record.headers();
        let attempts: u32 = number(&headers, ATTEMPT)?.unwrap_or(0);
        if attempts > MAX_ATTEMPTS {
            return Err(HopError { name: ATTEMPT, value: attempts.to_string(), allowed: "0 to 100000" });
        }
        let done = text(&headers, DONE)?.map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default();
        let origin = match (
            text(&headers, ORIGIN_TOPIC)?,
            number(&headers, ORIGIN_PARTITION)?,
            number(&headers, ORIGIN_OFFSET)?,
        ) {
            (Some(topic), Some(partition), Some(offset)) => Some(Origin { topic: topic.to_owned(), partition, offset }),
            _ => None,
        };
        Ok(Some(Self {
            attempts,
            done,
            not_before_ms: number(&headers, NOT_BEFORE)?,
            first_failure_ms: number(&headers, FIRST_FAILURE)?,
            origin,
            origin_timestamp: parsed(&headers, ORIGIN_TIMESTAMP, "CreateTime: or LogAppendTime: and milliseconds")?,
        }))
    }

    /// The bits of the handlers, in this order, that have succeeded.
    #[must_use]
    pub fn done_bits(&self, handlers: &[String]) -> u16 {
        let set = handlers.iter().enumerate().filter(|(_, name)| self.done.contains(name));
        set.fold(0, |bits, (index, _)| bits | 1 << index)
    }
}

fn text<'h>(headers: &'h Headers, name: &'static str) -> Result<Option<&'h str>, HopError> {
    let Some(value) = headers.last(name) else { return Ok(None) };
    std::str::from_utf8(value).map(Some).map_err(|_| HopError {
        name,
        value: String::from_utf8_lossy(value).into_owned(),
        allowed: "UTF-8",
    })
}

fn number<N: std::str::FromStr>(headers: &Headers, name: &'static str) -> Result<Option<N>, HopError> {
    parsed(headers, name, "a whole number")
}

fn parsed<T: std::str::FromStr>(
    headers: &Headers,
    name: &'static str,
    allowed: &'static str,
) -> Result<Option<T>, HopError> {
    let Some(value) = text(headers, name)? else { return Ok(None) };
    value.parse().map(Some).map_err(|_| HopError { name, value: value.to_owned(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Offset, RecordBuilder};

    fn read(topic: &str, headers: &[(&str, &[u8])]) -> Result<Option<Hop>, HopError> {
        let mut builder = RecordBuilder::new(None, Some(b"v"), 0);
        for (name, value) in headers {
            builder.header(name.as_bytes(), Some(value));
        }
        Hop::read(ConsumedTopic::parse(topic), &builder.build(topic.into(), 0, Offset(0), None))
    }

    #[test]
    fn headers_count_on_retry_topics_only() {
        let headers: [(&str, &[u8]); 6] = [
            (ATTEMPT, b"3"),
            (DONE, b"log,noop"),
            (NOT_BEFORE, b"1700000000000"),
            (ORIGIN_TOPIC, b"coafi.git"),
            (ORIGIN_PARTITION, b"2"),
            (ORIGIN_OFFSET, b"77"),
        ];
        assert_eq!(read("coafi.git", &headers), Ok(None));
        let hop = read("coafi.git.retry.5s", &headers).unwrap().unwrap();
        assert_eq!((hop.attempts, hop.not_before_ms), (3, Some(1_700_000_000_000)));
        assert_eq!(hop.origin, Some(Origin { topic: "coafi.git".into(), partition: 2, offset: 77 }));
        assert_eq!(read("coafi.git.retry.5s", &[]), Ok(Some(Hop::default())));
    }

    #[test]
    fn done_follows_names_through_a_change_of_the_route() {
        let hop = Hop { done: vec!["log".into(), "gone".into()], ..Hop::default() };
        let bits = |names: &[&str]| hop.done_bits(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
        assert_eq!((bits(&["noop", "log"]), bits(&["log"]), bits(&["noop"])), (0b10, 0b1, 0));
    }

    #[test]
    fn garbage_is_an_error_that_names_the_header() {
        for (name, value) in [
            (ATTEMPT, &b"three"[..]),
            (ATTEMPT, b"-1"),
            (ATTEMPT, b"4294967296"),
            (ATTEMPT, b"200000"),
            (ATTEMPT, b"\xff"),
            (NOT_BEFORE, b"soon"),
            (ORIGIN_PARTITION, b""),
            (ORIGIN_OFFSET, b"1.5"),
            (ORIGIN_TIMESTAMP, b"1763740800000"),
        ] {
            let error = read("coafi.git.retry.5s", &[(name, value)]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("header {name} is ")), "{error}");
        }
    }
}
