//! What is published in one transaction: records as they came, and where they end.

use std::time::Duration;

use super::position::Positions;
use crate::event::Record;
use crate::kafka::scan::{ScanError, Tail, Tailed};

/// Records of one batch.
const RECORDS_MAX: usize = 500;
/// Bytes of one batch, but for its last record.
const BYTES_MAX: usize = 4 << 20;
/// Positions that no event came with are written down this much later at most.
const QUIET: Duration = Duration::from_secs(5);

/// What was told and is not published.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    bytes: usize,
    /// Where the partitions that were read go on.
    pub(super) positions: Positions,
    /// Partition, first offset and the one behind the last.
    pub(super) lost: Vec<(i32, i64, i64)>,
    /// Nothing was known of a partition before: where it begins is to be written down at once.
    pub(super) began: bool,
    pub(super) more_partitions: bool,
    /// Whether anything was told at all.
    pub(super) told: bool,
}

impl Batch {
    /// What has come, as soon as there is anything; after a while of nothing an empty one.
    ///
    /// # Errors
    /// Reading has ended with it.
    pub(super) async fn next(tail: &mut Tail) -> Result<Self, ScanError> {
        let mut batch = Self::default();
        let Ok(first) = tokio::time::timeout(QUIET, tail.next()).await else { return Ok(batch) };
        let mut next = Some(first.ok_or(ScanError::Ended)?);
        batch.told = true;
        while let Some(told) = next {
            batch.take(told)?;
            next = if batch.is_full() { None } else { tail.ready() };
        }
        Ok(batch)
    }

    const fn is_full(&self) -> bool {
        self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX || self.more_partitions
    }

    fn take(&mut self, told: Tailed) -> Result<(), ScanError> {
        match told {
            Tailed::Record(record) => {
                self.bytes += record.size();
                self.positions.insert(record.partition(), record.offset().0 + 1);
                self.records.push(record);
            }
            Tailed::Passed { partition, next } => {
                let known = self.positions.entry(partition).or_insert(next);
                *known = next.max(*known);
            }
            Tailed::Began { partition, at } => {
                self.positions.insert(partition, at);
                self.began = true;
            }
            Tailed::Lost { partition, from, to } => {
                self.positions.insert(partition, to);
                self.lost.push((partition, from, to));
            }
            Tailed::MorePartitions => self.more_partitions = true,
            Tailed::Failed(error) => return Err(error),
        }
        Ok(())
    }
}
