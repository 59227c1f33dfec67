//! What is sent: a CloudEvent in binary mode (CloudEvents HTTP binding, section 3.1), its data as JSON where it is Avro.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::dispatch::{Context, Failure, once};
use crate::event::incoming::header_value;
use crate::event::{Attribute, Event};
use crate::outgoing::Message;

/// How often the event was tried, this time included.
const ATTEMPT: &str = "coafi-attempt";
/// Before what identifies a call, in hexadecimal digits of so many bytes.
const ID_PREFIX: &str = "msg_";
const ID_BYTES: usize = 16;
/// Attributes that are about this group's own business.
const OURS: [Attribute; 2] = [Attribute::ReplyTo, Attribute::WorkflowHops];
/// In every media type that there is for it, ours and those of others.
const AVRO: &str = "avro";
/// Confluent wire format begins with it.
const AVRO_MAGIC: u8 = 0;
const JSON: &str = "application/json";

/// # Errors
/// Data that does not decode; the schema registry is away.
pub(super) async fn of(event: &Event, context: &Context<'_>) -> Result<Message, Failure> {
    let (content_type, body) = data(event, context).await?;
    let mut headers: Vec<(String, String)> =
        attributes(event).into_iter().map(|(name, value)| (format!("ce-{name}"), header_value(&value))).collect();
    headers.extend(content_type.map(|given| ("content-type".to_owned(), given)));
    headers.push((ATTEMPT.to_owned(), context.attempt.to_string()));
    // The plain ones are what OpenTelemetry's HTTP instrumentations read.
    for attribute in [Attribute::TraceParent, Attribute::TraceState] {
        let value = event.attribute(attribute).map(str::to_owned);
        headers.extend(value.map(|value| (attribute.name().to_owned(), value)));
    }
    Ok(Message { id: id(event, context), headers, body })
}

/// The same for every attempt of the same handler at the same event in the same run.
fn id(event: &Event, context: &Context<'_>) -> String {
    let run = once::run(event, context);
    let mut hash = Sha256::new();
    for part in [&context.fence.group, context.handler, event.source(), event.id(), &run] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits: String = hash.finalize()[..ID_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{ID_PREFIX}{digits}")
}

/// All but our own business.
fn attributes(event: &Event) -> BTreeMap<String, String> {
    let mut all = event.everything();
    all.retain(|name, _| !OURS.iter().any(|ours| ours.name() == name));
    all
}

/// Avro as JSON; anything else as it is.
async fn data(event: &Event, context: &Context<'_>) -> Result<(Option<String>, Bytes), Failure> {
    let is_avro = match event.content_type() {
        Some(media) => media.contains(AVRO),
        None => event.data().first() == Some(&AVRO_MAGIC),
    };
    if is_avro {
        let json = context.services.codec.decode_json(event).await?;
        return Ok((Some(JSON.to_owned()), json.to_string().into()));
    }
    Ok((event.attribute(Attribute::ContentType).map(str::to_owned), event.data().clone()))
}
