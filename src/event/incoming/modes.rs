//! The modes of the CloudEvents HTTP binding: binary, structured and batched, in JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Incoming, essence, is_json};

/// In one batch.
pub const EVENTS_MAX: usize = 500;
pub const STRUCTURED: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Media types that begin like it are for structured modes, ours or not.
const EVENT_FORMATS: &str = "application/cloudevents";
/// Attributes that CloudEvents itself names: extensions are others.
const OF_CLOUD_EVENTS: [&str; 9] =
    ["specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data"];

/// What a header may not have as it is: controls, blanks, quotes, the percent sign; what is no ASCII never may.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Members of a JSON object, each as it was written.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Why what came is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error("{0}; allowed: ce-* headers, {STRUCTURED}, {BATCH}")]
    NoEvent(String),
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the batch has {0} events; allowed: {EVENTS_MAX}")]
    TooMany(usize),
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// The events of a request or an answer, in its mode. Names of headers are in lower case.
///
/// # Errors
/// [`NotRead`]
pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, body: Bytes) -> Result<Vec<Incoming>, NotRead> {
    let (mut content_type, mut attributes) = (None, Vec::new());
    for (name, value) in headers {
        match name.strip_prefix("ce-") {
            Some(name) => attributes.push((name, value)),
            None if name == "content-type" => content_type = content_type.or(Some(value)),
            None => {}
        }
    }
    let given = content_type.map(ascii);
    let media = given.flatten().map(essence).unwrap_or_default();
    let one =
        |event: Result<Incoming, String>| event.map(|event| vec![event]).map_err(|why| NotRead::Invalid(vec![why]));
    match media.as_str() {
        STRUCTURED => one(structured(&body, json(&body)?)),
        BATCH => batch(&body),
        _ if media.starts_with(EVENT_FORMATS) => Err(NotRead::NoEvent(format!("format {media:?} is not taken"))),
        _ if attributes.is_empty() => {
            Err(NotRead::NoEvent(format!("content type {media:?} without ce-* headers is no CloudEvent")))
        }
        _ => one(binary(&attributes, given, body)),
    }
}

fn json(body: &Bytes) -> Result<&RawValue, NotRead> {
    serde_json::from_slice(body).map_err(NotRead::NotJson)
}

fn batch(body: &Bytes) -> Result<Vec<Incoming>, NotRead> {
    let Ok(events) = serde_json::from_str::<Vec<&RawValue>>(json(body)?.get()) else {
        return Err(NotRead::Invalid(vec!["a batch is a list of events".to_owned()]));
    };
    if events.len() > EVENTS_MAX {
        return Err(NotRead::TooMany(events.len()));
    }
    let (mut good, mut errors) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        match structured(body, event) {
            Ok(event) => good.push(event),
            Err(error) => errors.push(format!("/{index}: {error}")),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(NotRead::Invalid(errors)) }
}

/// CloudEvents JSON format, section 3. Data stays as it was written: `body` is what the event is a part of.
fn structured(body: &Bytes, event: &RawValue) -> Result<Incoming, String> {
    let mut members: Members<'_> = of(event).ok_or("an event is an object")?;
    // A member that is null is one that is not there, save for data: null is JSON.
    members.retain(|name, value| name == "data" || value.get() != "null");
    let (data, encoded) = (members.remove("data"), members.remove("data_base64"));
    let content_type = match members.remove("datacontenttype") {
        Some(given) => Some(of::<String>(given).ok_or("datacontenttype is no text")?),
        // Of what is encoded nothing is implied.
        None => encoded.is_none().then(|| "application/json".to_owned()),
    };
    let data = match (data, encoded) {
        (Some(_), Some(_)) => return Err("there is data and data_base64".to_owned()),
        (None, None) => Bytes::new(),
        (Some(data), None) => match of::<String>(data) {
            Some(text) if !content_type.as_deref().is_some_and(is_json) => text.into(),
            _ => body.slice_ref(data.get().as_bytes()),
        },
        (None, Some(encoded)) => {
            let text = of::<String>(encoded).ok_or("data_base64 is no text")?;
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            decoded.map_err(|error| format!("data_base64: {error}"))?.into()
        }
    };
    // Seed 003 has {"extensions": {"seq": 7}}; CloudEvents has extensions beside the other attributes.
    if let Some(nested) = members.get("extensions").and_then(|nested| of::<Members<'_>>(nested)) {
        members.remove("extensions");
        for (name, value) in nested.into_iter().filter(|(_, value)| value.get() != "null") {
            if OF_CLOUD_EVENTS.contains(&&*name) {
                return Err(format!("{name:?} is no extension"));
            }
            members.entry(name).or_insert(value);
        }
    }
    let attributes = members.into_iter().map(attribute).collect::<Result<_, _>>()?;
    Incoming::new(attributes, content_type, data)
}

fn attribute((name, value): (Cow<'_, str>, &RawValue)) -> Result<(String, String), String> {
    match of(value) {
        Some(Value::String(text)) => Ok((name.into_owned(), text)),
        Some(Value::Number(_) | Value::Bool(_)) => Ok((name.into_owned(), value.get().to_owned())),
        _ => Err(format!("{name:?} is no text, number or boolean")),
    }
}

fn of<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// CloudEvents HTTP binding, section 3.1. `content_type`: `Some(None)` where it is not ASCII.
fn binary(headers: &[(&str, &[u8])], content_type: Option<Option<&str>>, body: Bytes) -> Result<Incoming, String> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let raw = ascii(value).ok_or_else(|| format!("{name} is not ASCII; allowed: percent-encoded UTF-8"))?;
        let raw = unquoted(raw);
        let decoded = percent_decode_str(&raw).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?;
        if attributes.insert((*name).to_owned(), decoded.into_owned()).is_some() {
            return Err(format!("{name} is there more than once"));
        }
    }
    let content_type = content_type.map(|given| given.ok_or("the content type is not ASCII")).transpose()?;
    Incoming::new(attributes, content_type.map(str::to_owned), body)
}

/// Visible characters, blanks and tabs.
fn ascii(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')).then_some(text)
}

/// An attribute's value as a `ce-*` header has it (CloudEvents HTTP binding, 3.1.3.2).
#[must_use]
pub fn header_value(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

/// A quoted string (RFC 9110, 5.6.4) means what is in it (CloudEvents HTTP binding, 3.1.3.2).
fn unquoted(raw: &str) -> Cow<'_, str> {
    let Some(quoted) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return raw.into() };
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text.into()
}
