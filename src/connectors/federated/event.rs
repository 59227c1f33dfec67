//! A domain's CloudEvent, as far as it is a message: JSON format or a record's, data that is JSON or was Avro.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::{Refusal, Refused};
use crate::event::{Attribute, Event};
use crate::schema::payloads::{FederatedAuthentication, FederatedMessage};
use crate::schema::{Payload as _, Schemas};

/// Bytes of an attribute.
const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// Of UTidS of one message.
const UTIDS_MAX: usize = 100;
/// Of data, and of attributes, which are in the headers too: a record of `coafi.federated` has 1 MiB at most, and one that its
/// topic does not take would be tried for ever.
const MESSAGE_BYTES_MAX: usize = 900 << 10;

/// A message, whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub message_type: String,
    pub source: Option<String>,
    pub subject: Option<String>,
    pub target_domain: Option<String>,
    pub sent_at: Option<Timestamp>,
    /// JSON.
    pub payload: String,
    pub utids: Vec<String>,
}

/// What a record's data is.
pub(super) enum Data {
    /// A message in the standard format, Avro.
    Message(Box<FederatedMessage>),
    /// What was Avro of another schema.
    Json(String),
    /// As it is in the record.
    Other,
}

/// CloudEvents JSON format, section 3.
#[derive(Deserialize)]
struct Structured {
    specversion: String,
    id: String,
    source: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    data: Option<Box<RawValue>>,
    data_base64: Option<serde::de::IgnoredAny>,
    targetdomain: Option<String>,
    utids: Option<String>,
}

impl Message {
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::TooLarge`], [`Refusal::TypeNotAllowed`].
    pub fn structured(text: &str) -> Result<Self, Refused> {
        let read = |error: serde_json::Error| Refusal::Malformed.because(format!("the event: {error}"));
        let event: Structured = serde_json::from_str(text).map_err(read)?;
        if event.specversion != "1.0" {
            return Err(Refusal::Malformed.because("specversion is not allowed; allowed: \"1.0\""));
        }
        if event.data_base64.is_some() || !event.datacontenttype.as_deref().is_none_or(is_json) {
            return Err(Refusal::Malformed.because("data is not JSON; allowed: JSON"));
        }
        let sent_at = event.time.as_deref().map(time).transpose()?;
        Self {
            id: event.id,
            message_type: event.r#type.unwrap_or_else(|| FederatedMessage::EVENT_TYPE.to_owned()),
            source: event.source,
            subject: event.subject,
            target_domain: event.targetdomain,
            sent_at,
            payload: event.data.map_or_else(|| "null".to_owned(), |data| data.get().to_owned()),
            utids: utids(event.utids.as_deref().unwrap_or_default()),
        }
        .checked()
    }

    /// Of a record in binary or structured mode. What it is is said by its attributes; of a message in the standard format the
    /// rest is in there.
    ///
    /// # Errors
    /// As [`Self::structured`].
    pub(super) fn of_event(event: &Event, data: Data) -> Result<Self, Refused> {
        let mut utids: Vec<String> = event.utids().map(str::to_owned).collect();
        let (payload, target_domain) = match data {
            Data::Other => (std::str::from_utf8(event.data()).ok().map(str::to_owned), None),
            Data::Json(text) => (Some(text), None),
            Data::Message(message) => {
                if utids.is_empty() {
                    utids = message.utids;
                }
                (Some(message.payload), message.target_domain)
            }
        };
        let payload = payload.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        let own = |attribute| event.attribute(attribute).map(str::to_owned);
        Self {
            id: event.id().to_owned(),
            message_type: event.event_type().to_owned(),
            source: Some(event.source().to_owned()),
            subject: own(Attribute::Subject),
            target_domain,
            sent_at: event.attribute(Attribute::Time).map(time).transpose()?,
            payload: payload.ok_or_else(|| Refusal::Malformed.because("data is not JSON; allowed: JSON, Avro"))?,
            utids,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, Refused> {
        let attributes = [
            ("id", Some(&self.id)),
            ("type", Some(&self.message_type)),
            ("source", self.source.as_ref()),
            ("subject", self.subject.as_ref()),
            ("targetdomain", self.target_domain.as_ref()),
        ];
        let present = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut bytes = self.payload.len();
        for (name, value) in present.chain(self.utids.iter().map(|utid| ("utids", utid))) {
            bytes += 2 * value.len();
            if value.is_empty() || value.len() > ATTRIBUTE_BYTES_MAX || value.chars().any(char::is_control) {
                let allowed = format!("1 to {ATTRIBUTE_BYTES_MAX} bytes of printable text");
                return Err(Refusal::Malformed.because(format!("{name} is not allowed; allowed: {allowed}")));
            }
        }
        if self.message_type.chars().any(char::is_whitespace) {
            return Err(Refusal::Malformed.because("type is not allowed; allowed: text without blanks"));
        }
        if self.utids.len() > UTIDS_MAX {
            return Err(
                Refusal::Malformed.because(format!("there are {} utids; allowed: {UTIDS_MAX}", self.utids.len()))
            );
        }
        if bytes > MESSAGE_BYTES_MAX {
            let detail = format!("data and twice the attributes have {bytes} bytes; allowed: {MESSAGE_BYTES_MAX}");
            return Err(Refusal::TooLarge.because(detail));
        }
        if OURS.contains(self.message_type.as_str()) {
            let detail = format!("{:?} is a type of COAFI's own events, which no domain may send", self.message_type);
            return Err(Refusal::TypeNotAllowed.because(detail));
        }
        Ok(self)
    }

    /// As it is published. `sent_at`: where the message does not say it.
    #[must_use]
    pub fn of_domain(
        self,
        domain: &str,
        authentication: FederatedAuthentication,
        sent_at: Timestamp,
    ) -> FederatedMessage {
        FederatedMessage {
            message_id: self.id,
            source_domain: domain.to_owned(),
            target_domain: self.target_domain,
            message_type: self.message_type,
            source: self.source,
            subject: self.subject,
            sent_at: self.sent_at.unwrap_or(sent_at).as_millisecond(),
            payload: self.payload,
            authentication,
            utids: self.utids,
        }
    }
}

/// Types of which handlers expect that only COAFI makes such events.
static OURS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let built_in = Schemas::built_in();
    let types = built_in.iter().map(|file| file.event_type().to_owned());
    types.filter(|of_type| of_type != FederatedMessage::EVENT_TYPE).collect()
});

fn time(text: &str) -> Result<Timestamp, Refused> {
    text.parse().map_err(|_| Refusal::Malformed.because("time is not allowed; allowed: RFC 3339"))
}

fn utids(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|utid| !utid.is_empty()).map(str::to_owned).collect()
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(change: impl FnOnce(&mut Value), expected: Result<(), Refusal>) {
        let mut event =
            json!({"specversion": "1.0", "id": "m-1", "source": "/aero", "type": "Hello", "data": {"a": 1}});
        change(&mut event);
        let read = Message::structured(&event.to_string());
        assert_eq!(read.map(drop).map_err(|refused| refused.refusal), expected, "{event}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        check(|_| {}, Ok(()));
        check(|event| event["data"] = json!([1, "x", null]), Ok(()));
        check(|event| drop(event.as_object_mut().unwrap().remove("type")), Ok(()));
        check(|event| event["datacontenttype"] = json!("application/vnd.aero+json; v=1"), Ok(()));
        let malformed = Err(Refusal::Malformed);
        check(|event| event["specversion"] = json!("0.3"), malformed);
        check(|event| event["id"] = json!(""), malformed);
        check(|event| event["id"] = json!("a\u{7}"), malformed);
        check(|event| event["id"] = json!("x".repeat(ATTRIBUTE_BYTES_MAX + 1)), malformed);
        check(|event| event["type"] = json!("two words"), malformed);
        check(|event| event["time"] = json!("yesterday"), malformed);
        check(|event| event["data_base64"] = json!("AAAA"), malformed);
        check(|event| event["datacontenttype"] = json!("text/plain"), malformed);
        check(|event| event["utids"] = json!(vec!["u"; UTIDS_MAX + 1].join(",")), malformed);
        check(|event| event["data"] = json!("x".repeat(MESSAGE_BYTES_MAX)), Err(Refusal::TooLarge));
        let nearly = "x".repeat(MESSAGE_BYTES_MAX - 2 * UTIDS_MAX * ATTRIBUTE_BYTES_MAX);
        check(|event| event["data"] = json!(nearly), Ok(()));
        let all = |event: &mut Value| {
            (event["data"], event["utids"]) =
                (json!(nearly), json!(vec!["u".repeat(ATTRIBUTE_BYTES_MAX); UTIDS_MAX].join(",")));
        };
        check(all, Err(Refusal::TooLarge));
        check(|event| event["type"] = json!("workflow.requested"), Err(Refusal::TypeNotAllowed));
        check(|event| event["type"] = json!("federated.refused"), Err(Refusal::TypeNotAllowed));
        check(|event| event["type"] = json!("federated.message"), Ok(()));
    }

    #[test]
    fn data_stays_as_it_was_written() {
        let text = r#"{"specversion":"1.0","id":"1","type":"T","utids":"a, b","data":{"big": 12345678901234567890123, "x":1.0}}"#;
        let message = Message::structured(text).unwrap();
        assert_eq!(message.payload, r#"{"big": 12345678901234567890123, "x":1.0}"#);
        assert_eq!(message.utids, ["a", "b"]);
    }
}
