//! CloudEvents 1.0 as HTTP carries them, checked, and as Kafka's binding writes them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::problem::Problem;
use super::trace;
use crate::event::{HeadersBuilder, Outgoing};

const EVENTS_MAX: usize = 500;
const EXTENSIONS_MAX: usize = 32;
/// Of `id`, `source`, `type`, and of every other attribute.
const ATTRIBUTE_BYTES_MAX: usize = 1_024;
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// An event that is valid as far as CloudEvents goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) id: String,
    pub(super) source: String,
    event_type: String,
    /// All other attributes, extensions too.
    others: BTreeMap<String, String>,
    content_type: Option<String>,
    data: Bytes,
}

impl Incoming {
    /// What makes it this event and no other of the same source and id.
    pub(super) fn content(&self) -> Vec<Vec<u8>> {
        let mut parts = vec![self.event_type.clone().into_bytes(), self.data.to_vec()];
        parts.push(self.content_type.clone().unwrap_or_default().into_bytes());
        for (name, value) in &self.others {
            parts.extend([name.clone().into_bytes(), value.clone().into_bytes()]);
        }
        parts
    }

    /// Binary mode of the Kafka binding. Events of one partition key, else of one subject, are handled in order.
    pub(super) fn into_record(self, topic: &str, reply_to: &str, request: &HeaderMap) -> Outgoing {
        let key = self.others.get("partitionkey").or_else(|| self.others.get("subject")).unwrap_or(&self.id).clone();
        let mut headers = HeadersBuilder::default()
            .with("ce_specversion", "1.0")
            .with("ce_id", &self.id)
            .with("ce_source", &self.source)
            .with("ce_type", &self.event_type)
            .with("ce_replyto", reply_to);
        for (name, value) in self.others.iter().filter(|(name, _)| *name != "traceparent") {
            headers = headers.with(&format!("ce_{name}"), value);
        }
        for (name, value) in [("ce_partitionkey", &key), ("ce_correlationid", &self.id)] {
            if !self.others.contains_key(&name[3..]) {
                headers = headers.with(name, value);
            }
        }
        // Its own trace goes on, else that of the request.
        let own = self.others.get("traceparent").filter(|text| trace::is_traceparent(text)).cloned();
        let traceparent = own.unwrap_or_else(|| trace::of_request(request));
        headers = headers.with("ce_traceparent", &traceparent).with("traceparent", &traceparent);
        if let Some(content_type) = &self.content_type {
            headers = headers.with("content-type", content_type);
        }
        Outgoing {
            topic: topic.into(),
            partition: None,
            key: Some(key.into()),
            value: Some(self.data),
            headers: headers.build(),
            timestamp_ms: None,
        }
    }
}

/// The events of a request, in its mode.
///
/// # Errors
/// 400, 413, 415
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<Incoming>, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = given.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        STRUCTURED => Ok(vec![structured(super::body::parse(&body)?).map_err(|errors| invalid(vec![errors]))?]),
        BATCH => batch(super::body::parse(&body)?),
        _ if headers.contains_key("ce-specversion") || headers.contains_key("ce-id") => {
            binary(headers, given, body).map(|event| vec![event]).map_err(|error| invalid(vec![error]))
        }
        _ => {
            let detail = format!("no CloudEvent: neither ce-* headers, nor {STRUCTURED}, nor {BATCH}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
        }
    }
}

fn invalid(errors: Vec<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-event", "an event is not valid").with_errors(errors)
}

fn batch(body: Value) -> Result<Vec<Incoming>, Problem> {
    let Value::Array(events) = body else { return Err(invalid(vec!["a batch is a list of events".to_owned()])) };
    if events.len() > EVENTS_MAX {
        let detail = format!("the batch has {} events; allowed: {EVENTS_MAX}", events.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch-too-large", detail));
    }
    let (mut good, mut errors) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        match structured(event) {
            Ok(event) => good.push(event),
            Err(error) => errors.push(format!("/{index}: {error}")),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(invalid(errors)) }
}

fn structured(event: Value) -> Result<Incoming, String> {
    let Value::Object(mut members) = event else { return Err("an event is an object".to_owned()) };
    let data = match (members.remove("data"), members.remove("data_base64")) {
        (Some(_), Some(_)) => return Err("there is data and data_base64".to_owned()),
        (None, None) => None,
        (Some(data), None) => Some(data.to_string().into_bytes()),
        (None, Some(text)) => {
            let text = text.as_str().ok_or("data_base64 is not text")?;
            Some(base64::engine::general_purpose::STANDARD.decode(text).map_err(|e| format!("data_base64: {e}"))?)
        }
    };
    // Of seed 003: {"extensions": {"seq": 7}}; CloudEvents itself has extensions beside the other attributes.
    if let Some(Value::Object(nested)) = members.remove("extensions") {
        for (name, value) in nested {
            members.entry(name).or_insert(value);
        }
    }
    let content_type = members.remove("datacontenttype");
    let content_type = content_type.map(|value| value.as_str().map(str::to_owned).ok_or("datacontenttype is not text"));
    let content_type = content_type.transpose()?.unwrap_or_else(|| "application/json".to_owned());
    checked(attributes(members)?, Some(content_type).filter(|_| data.is_some()), data.unwrap_or_default().into())
}

fn attributes(members: Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let text = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Number(_) | Value::Bool(_) => Some(Ok((name, value.to_string()))),
        Value::Array(_) | Value::Object(_) => Some(Err(format!("attribute {name:?} is no text, number or boolean"))),
    };
    members.into_iter().filter_map(text).collect()
}

fn binary(headers: &HeaderMap, content_type: Option<&str>, body: Bytes) -> Result<Incoming, String> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let raw = value.to_str().map_err(|_| format!("ce-{name} is not ASCII"))?;
        let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| format!("ce-{name} is not UTF-8"))?;
        if attributes.insert(name.to_owned(), decoded.into_owned()).is_some() {
            return Err(format!("ce-{name} is there more than once"));
        }
    }
    checked(attributes, content_type.map(str::to_owned), body)
}

fn checked(
    mut attributes: BTreeMap<String, String>,
    content_type: Option<String>,
    data: Bytes,
) -> Result<Incoming, String> {
    if attributes.len() > EXTENSIONS_MAX {
        return Err(format!("there are {} attributes; allowed: {EXTENSIONS_MAX}", attributes.len()));
    }
    let too_long = attributes.iter().find(|(_, value)| value.len() > ATTRIBUTE_BYTES_MAX);
    if let Some((name, _)) = too_long {
        return Err(format!("attribute {name:?} has more than {ATTRIBUTE_BYTES_MAX} bytes"));
    }
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if let Some(name) = attributes.keys().find(|name| name.is_empty() || !is_name(name)) {
        return Err(format!("{name:?} is no attribute's name; allowed: lower-case letters and digits"));
    }
    match attributes.remove("specversion").as_deref() {
        Some("1.0") => {}
        other => return Err(format!("specversion is {other:?}; allowed: \"1.0\"")),
    }
    let mut required = |name: &str| {
        let value = attributes.remove(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("{name} is missing or empty"))
    };
    let (id, source, event_type) = (required("id")?, required("source")?, required("type")?);
    if let Some(time) = attributes.get("time").filter(|time| time.parse::<jiff::Timestamp>().is_err()) {
        return Err(format!("time is {time:?}; allowed: RFC 3339"));
    }
    // Both are accepted; inside there is one.
    if let Some(seq) = attributes.remove("seq") {
        attributes.entry("sequence".to_owned()).or_insert(seq);
    }
    // Where replies go is ours to say.
    attributes.remove("replyto");
    Ok(Incoming { id, source, event_type, others: attributes, content_type, data })
}

#[cfg(test)]
mod tests;
