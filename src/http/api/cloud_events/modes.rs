//! The modes of the CloudEvents HTTP binding: binary, structured and batched, in JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Incoming;
use crate::http::api::body::{is_json, media_type, parse};
use crate::http::api::problem::Problem;

/// In one batch.
pub(in crate::http::api) const EVENTS_MAX: usize = 500;
pub(in crate::http::api) const STRUCTURED: &str = "application/cloudevents+json";
pub(in crate::http::api) const BATCH: &str = "application/cloudevents-batch+json";
/// Media types that begin like it are for structured modes, ours or not.
const EVENT_FORMATS: &str = "application/cloudevents";
/// Attributes that CloudEvents itself names: extensions are others.
const OF_CLOUD_EVENTS: [&str; 9] =
    ["specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype", "data"];

/// Members of a JSON object, each as it was written.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The events of a request, in its mode.
///
/// # Errors
/// 400, 413, 415
pub(in crate::http::api) fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<Incoming>, Problem> {
    let media = media_type(headers);
    match media.as_str() {
        STRUCTURED => {
            let event = structured(&body, parse(&body)?).map_err(|error| invalid(vec![error]))?;
            Ok(vec![event])
        }
        BATCH => batch(&body),
        _ if media.starts_with(EVENT_FORMATS) => Err(no_event(format!("format {media:?} is not taken"))),
        _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => {
            let event = binary(headers, body).map_err(|error| invalid(vec![error]))?;
            Ok(vec![event])
        }
        _ => Err(no_event(format!("content type {media:?} without ce-* headers is no CloudEvent"))),
    }
}

fn no_event(what: String) -> Problem {
    let detail = format!("{what}; allowed: ce-* headers, {STRUCTURED}, {BATCH}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
}

fn invalid(errors: Vec<String>) -> Problem {
    let detail = match errors.len() {
        1 => "an event is not valid".to_owned(),
        count => format!("{count} events are not valid"),
    };
    Problem::new(StatusCode::BAD_REQUEST, "invalid-event", detail).with_errors(errors)
}

fn batch(body: &Bytes) -> Result<Vec<Incoming>, Problem> {
    let all: &RawValue = parse(body)?;
    let Ok(events) = serde_json::from_str::<Vec<&RawValue>>(all.get()) else {
        return Err(invalid(vec!["a batch is a list of events".to_owned()]));
    };
    if events.len() > EVENTS_MAX {
        let detail = format!("the batch has {} events; allowed: {EVENTS_MAX}", events.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch-too-large", detail));
    }
    let (mut good, mut errors) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        match structured(body, event) {
            Ok(event) => good.push(event),
            Err(error) => errors.push(format!("/{index}: {error}")),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(invalid(errors)) }
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

/// CloudEvents HTTP binding, section 3.1.
fn binary(headers: &HeaderMap, body: Bytes) -> Result<Incoming, String> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let raw = value.to_str().map_err(|_| format!("{name} is not ASCII; allowed: percent-encoded UTF-8"))?;
        let raw = unquoted(raw);
        let decoded = percent_decode_str(&raw).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?;
        if attributes.insert(name.to_owned(), decoded.into_owned()).is_some() {
            return Err(format!("{name} is there more than once"));
        }
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().map(str::to_owned));
    let content_type = content_type.transpose().map_err(|_| "the content type is not ASCII")?;
    Incoming::new(attributes, content_type, body)
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
