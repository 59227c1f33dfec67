//! Reads what a run has left behind, as anybody could: topics with `read_committed`, committed offsets, rows.

mod audit;
mod offset_map;
mod positions;
mod rows;
mod topic;

use anyhow::{Context as _, Result};
use serde::Deserialize;

pub use audit::{Said, said};
pub use positions::read as positions;
pub use topic::{Ends, Record, audit_ends, client, source_ends, status_reports, stored};

use crate::events::sequence_of;
use crate::reconcile::{Derived, Evidence, Forward, Forwarded, Place, Sent, Stored};
use crate::wire::Schemas;
use crate::world::{AUDIT_TOPIC, DEAD_LETTER_TOPIC, DERIVED_TOPIC, RETRY_TOPIC, TOPIC, UNPROCESSED_TOPIC, World};

/// Everything that there is to see, beside what was sent.
///
/// # Errors
/// Something cannot be read, or is not what it should be: a finding of its own.
pub fn gather(world: &World, schemas: &mut Schemas, sent: Vec<Sent>) -> Result<Evidence> {
    let mut evidence = Evidence { sent, ..Evidence::default() };
    for record in topic::read(&world.kafka, TOPIC)? {
        evidence.stored.push(record_of(&record, schemas)?);
    }
    for record in topic::read(&world.kafka, AUDIT_TOPIC)? {
        match said(&record, schemas).with_context(|| format!("audit record {}/{}", record.partition, record.offset))? {
            Said::Outcome(outcome) => evidence.outcomes.push(outcome),
            Said::Receipt(receipt) => evidence.receipts.push(receipt),
        }
    }
    for (topic, to) in [
        (RETRY_TOPIC, Forward::Retry),
        (DEAD_LETTER_TOPIC, Forward::DeadLetter),
        (UNPROCESSED_TOPIC, Forward::Unprocessed),
    ] {
        for record in topic::read(&world.kafka, topic)? {
            evidence.forwarded.push(forwarded(topic, to, &record)?);
        }
    }
    for record in topic::read(&world.kafka, DERIVED_TOPIC)? {
        evidence.derived.push(derived(&record, schemas)?);
    }
    evidence.rows = rows::read(&world.postgres)?;
    evidence.positions = positions(&world.kafka)?;
    Ok(evidence)
}

/// An event's id has its sequence; what is no event has it in its value.
fn record_of(record: &Record, schemas: &mut Schemas) -> Result<Stored> {
    /// As far as it is asked for.
    #[derive(Deserialize)]
    struct Step {
        sequence: i64,
    }
    let place = record.place(TOPIC);
    let sequence = match record.header("ce_id") {
        Some(id) => sequence_of(id).with_context(|| format!("{place}: no event of this run: {id}"))?,
        None => schemas.decode::<Step>(record.value.as_deref().unwrap_or_default())?.sequence,
    };
    Ok(Stored { place, sequence })
}

fn forwarded(topic: &str, to: Forward, record: &Record) -> Result<Forwarded> {
    let header = |name: &str| record.header(name).with_context(|| format!("{topic} record without {name}"));
    let origin = Place {
        topic: header("coafi-origin-topic")?.to_owned(),
        partition: header("coafi-origin-partition")?.parse()?,
        offset: header("coafi-origin-offset")?.parse()?,
    };
    Ok(Forwarded { to, place: record.place(topic), origin })
}

fn derived(record: &Record, schemas: &mut Schemas) -> Result<Derived> {
    /// As far as it is asked for.
    #[derive(Deserialize)]
    struct Step {
        key: String,
        sequence: i64,
    }
    let cause = record.header("ce_causationid").context("a derived event without a cause")?.to_owned();
    let Step { key, sequence } = schemas.decode(record.value.as_deref().unwrap_or_default())?;
    Ok(Derived { place: record.place(DERIVED_TOPIC), cause, key, sequence })
}
