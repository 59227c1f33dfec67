//! Audit records, as far as they are asked about.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::Record;
use crate::reconcile::{Outcome, Place, Receipt};
use crate::wire::Schemas;

/// What an audit record is.
#[derive(Clone, Debug)]
pub enum Said {
    Outcome(Outcome),
    Receipt(Receipt),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeRecord {
    topic: String,
    partition: i32,
    offset: i64,
    outcome: String,
    error_class: Option<String>,
    attempt: i32,
    epoch: i64,
    started_at: Option<i64>,
    ended_at: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptRecord {
    topic: String,
    partition: i32,
    from_offset: i64,
    to_offset: i64,
    event_ids: Vec<String>,
}

/// Reads a record of the audit topic.
///
/// # Errors
/// It is neither an outcome nor a receipt, or cannot be decoded.
pub fn said(record: &Record, schemas: &mut Schemas) -> Result<Said> {
    let value = record.value.as_deref().context("an audit record without a value")?;
    match record.header("ce_type") {
        Some("bitt.outcome") => {
            let outcome: OutcomeRecord = schemas.decode(value)?;
            let OutcomeRecord { topic, partition, offset, outcome: kind, attempt, epoch, .. } = outcome;
            Ok(Said::Outcome(Outcome {
                at: (record.partition, record.offset),
                place: Place { topic, partition, offset },
                kind,
                class: outcome.error_class,
                attempt,
                moved: record.header("ce_id").is_some_and(|id| id.ends_with("/moved")),
                epoch,
                started_ms: outcome.started_at,
                ended_ms: outcome.ended_at,
            }))
        }
        Some("bitt.receipt") => {
            let ReceiptRecord { topic, partition, from_offset, to_offset, event_ids } = schemas.decode(value)?;
            Ok(Said::Receipt(Receipt { topic, partition, offsets: from_offset..to_offset, ids: event_ids }))
        }
        other => bail!("of type {other:?}"),
    }
}
