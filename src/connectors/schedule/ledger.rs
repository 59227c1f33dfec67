//! Reads the schedule ledger: what became of due times, and why.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::ScheduleError;
use super::settings::ScheduleSettings;
use crate::dispatch::Failure;
use crate::kafka::scan::{Reader, ScanError, Wanted};
use crate::schedule::Name;
use crate::schema::Codec;
use crate::schema::payloads::ScheduleDecision;

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Decode(#[from] Failure),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

/// The ledger of one cluster.
#[derive(Clone, Debug)]
pub struct Ledger {
    reader: Reader,
    codec: Codec,
    topic: Arc<str>,
}

impl Ledger {
    #[must_use]
    pub fn new(reader: Reader, settings: &ScheduleSettings) -> Self {
        Self { reader, codec: settings.codec.clone(), topic: Arc::clone(&settings.ledger) }
    }

    /// The last entries of a schedule, at most `count`, oldest first.
    ///
    /// # Errors
    /// The topic or the registry cannot be read.
    pub async fn last(&self, name: &Name, count: usize) -> Result<Vec<ScheduleDecision>, LookError> {
        let mut last = VecDeque::new();
        self.each(name, |entry| {
            last.push_back(entry);
            if last.len() > count {
                last.pop_front();
            }
        })
        .await?;
        Ok(last.into())
    }

    /// Every entry of a schedule that is committed now, in order.
    pub(super) async fn each(&self, name: &Name, mut visit: impl FnMut(ScheduleDecision)) -> Result<(), LookError> {
        let stretches = self.reader.resolve(Wanted::all(&self.topic)).await?;
        let mut records = self.reader.read(&stretches)?;
        while let Some(record) = records.next().await? {
            let (Some(key), Some(value)) = (record.key(), record.value()) else { continue };
            if key == name.as_str().as_bytes() {
                visit(self.codec.decode_avro(value).await?);
            }
        }
        Ok(())
    }
}
