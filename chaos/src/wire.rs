//! Avro in Confluent's wire format, with the schemas that the registry has.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Schema, from_value};
use serde::de::DeserializeOwned;

use crate::events::{Body, Draft};

/// Magic byte and schema id.
const PREFIX_BYTES: usize = 5;
/// Of the registry.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// No registry of a run has as many schemas.
const UNKNOWN_SCHEMA_ID: u32 = 900_000;

/// Schemas by their ids. What is known is known while the registry is away.
#[derive(Clone, Debug)]
pub struct Schemas {
    registry: String,
    known: HashMap<u32, Schema>,
}

impl Schemas {
    #[must_use]
    pub fn new(registry: &str) -> Self {
        Self { registry: registry.to_owned(), known: HashMap::new() }
    }

    /// The id of the newest schema of a record in a topic.
    ///
    /// # Errors
    /// The registry does not answer, or does not have it.
    pub fn latest(&mut self, topic: &str, record: &str) -> Result<u32> {
        let url = format!("{}/subjects/{topic}-{record}/versions/latest", self.registry);
        let answer = get(&url)?;
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.with_context(|| format!("{url} names no id: {answer}"))?;
        self.learn(id, &answer)
    }

    /// Reads a value of any schema.
    ///
    /// # Errors
    /// It is not Avro, not of that shape, or the registry does not answer.
    pub fn decode<T: DeserializeOwned>(&mut self, value: &[u8]) -> Result<T> {
        Ok(from_value(&self.datum(value)?.1)?)
    }

    /// A value of any schema with other `members`, in the same schema.
    ///
    /// # Errors
    /// As [`Self::decode`], or the schema does not take them.
    pub fn with(&mut self, value: &[u8], members: &serde_json::Value) -> Result<Vec<u8>> {
        let (id, mut datum) = self.datum(value)?;
        let Value::Record(fields) = &mut datum else { bail!("no record") };
        for (name, member) in members.as_object().context("no members")? {
            let field = fields.iter_mut().find(|(field, _)| field == name);
            field.with_context(|| format!("there is no {name}"))?.1 = member.clone().try_into()?;
        }
        let schema = &self.known[&id];
        let writer = GenericDatumWriter::builder(schema).build()?;
        Ok(framed(id, &writer.write_value_to_vec(datum.resolve(schema)?)?))
    }

    /// The schema's id, and what it describes.
    fn datum(&mut self, value: &[u8]) -> Result<(u32, Value)> {
        ensure!(value.len() >= PREFIX_BYTES && value[0] == 0, "{} bytes are no framed Avro", value.len());
        let id = u32::from_be_bytes([value[1], value[2], value[3], value[4]]);
        if !self.known.contains_key(&id) {
            let answer = get(&format!("{}/schemas/ids/{id}", self.registry))?;
            self.learn(id, &answer)?;
        }
        let reader = GenericDatumReader::builder(&self.known[&id]).build()?;
        Ok((id, reader.read_value(&mut &value[PREFIX_BYTES..])?))
    }

    fn learn(&mut self, id: u32, answer: &serde_json::Value) -> Result<u32> {
        let text = answer["schema"].as_str().with_context(|| format!("no schema in {answer}"))?;
        self.known.insert(id, Schema::parse_str(text)?);
        Ok(id)
    }

    /// The value of a record; `id` is that of the step's schema.
    ///
    /// # Errors
    /// The schema has other fields than those that are sent.
    pub fn encode(&self, id: u32, draft: &Draft) -> Result<Vec<u8>> {
        let Body::Step { action, times, emit, write } = draft.body else {
            let id = if draft.body == Body::Garbage { id } else { UNKNOWN_SCHEMA_ID };
            // Too short for any step.
            return Ok(framed(id, b"\x02"));
        };
        let schema = &self.known[&id];
        let step = Value::Map(HashMap::from([
            ("key".to_owned(), Value::String(draft.key.clone())),
            ("sequence".to_owned(), Value::Long(draft.sequence)),
            ("action".to_owned(), Value::String(action.to_owned())),
            ("times".to_owned(), Value::Int(times)),
            ("emit".to_owned(), Value::Boolean(emit)),
            ("write".to_owned(), Value::Boolean(write)),
        ]));
        let writer = GenericDatumWriter::builder(schema).build()?;
        Ok(framed(id, &writer.write_value_to_vec(step.resolve(schema)?)?))
    }
}

fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

fn get(url: &str) -> Result<serde_json::Value> {
    let asked = ureq::get(url).config().timeout_global(Some(ANSWER_LIMIT)).build().call();
    let body = asked.with_context(|| url.to_owned())?.body_mut().read_to_string()?;
    serde_json::from_str(&body).with_context(|| format!("{url}: {body}"))
}
