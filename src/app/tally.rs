//! Counts what was committed, for the summary of `coafi dev`: files by type and validity, artifacts, audit records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dispatch::{Delivery, Report};
use crate::engine::{Disposition, Output};
use crate::runtime::{FileCounts, Files};
use std::sync::Arc;

/// Events that ended and were not asked for yet; older ones are forgotten.
const MAX_ENDED: usize = 256;

/// Shared between the dispatcher, which counts, and whoever shows.
#[derive(Debug, Default)]
pub struct Tally {
    files: Mutex<Files>,
    artifacts: AtomicU64,
    audit_records: AtomicU64,
    ended: Mutex<std::collections::VecDeque<Ended>>,
}

/// An event that came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub event_type: String,
    pub id: String,
    pub files: u64,
    pub outcome: &'static str,
    /// Milliseconds since the Unix epoch at which its record was written.
    pub appeared_ms: Option<i64>,
}

impl Tally {
    /// Counts an output that is committed.
    pub fn count(&self, output: &Output<Arc<Delivery>, Report>) {
        self.audit_records.fetch_add(1, Ordering::Relaxed);
        if !output.disposition.resolves() {
            return;
        }
        let results = output.report.iter().flat_map(|report| &report.runs).filter_map(|run| run.result.as_ref().ok());
        let mut files = 0;
        for success in results {
            files += u64::from(success.files_processed.unwrap_or(0));
            self.count_summary(&success.data["summary"]);
        }
        let Some(event) = output.payload.event() else { return };
        let mut ended = lock(&self.ended);
        if ended.len() == MAX_ENDED {
            ended.pop_front();
        }
        ended.push_back(Ended {
            event_type: event.event_type().to_owned(),
            id: event.id().to_owned(),
            files,
            outcome: name(&output.disposition),
            appeared_ms: event.record().timestamp_ms(),
        });
    }

    /// `summary` as `git_commit` gives it: `files.<type>.{valid,invalid}` and `artifacts`.
    fn count_summary(&self, summary: &serde_json::Value) {
        self.artifacts.fetch_add(summary["artifacts"].as_u64().unwrap_or(0), Ordering::Relaxed);
        let mut files = lock(&self.files);
        let Files { markdown, yaml_config, json_data, unknown } = &mut *files;
        for (name, counts) in
            [("markdown", markdown), ("yaml_config", yaml_config), ("json_data", json_data), ("unknown", unknown)]
        {
            let of = &summary["files"][name];
            *counts = FileCounts {
                valid: counts.valid + of["valid"].as_u64().unwrap_or(0),
                invalid: counts.invalid + of["invalid"].as_u64().unwrap_or(0),
            };
        }
    }

    /// Counts receipts that were written.
    pub fn count_receipts(&self, records: usize) {
        self.audit_records.fetch_add(records as u64, Ordering::Relaxed);
    }

    #[must_use]
    pub fn files(&self) -> Files {
        *lock(&self.files)
    }

    #[must_use]
    pub fn artifacts(&self) -> u64 {
        self.artifacts.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn audit_records(&self) -> u64 {
        self.audit_records.load(Ordering::Relaxed)
    }

    /// What ended since the last call.
    pub fn take_ended(&self) -> Vec<Ended> {
        lock(&self.ended).drain(..).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counting cannot leave anything half done.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const fn name(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Processed => "processed",
        Disposition::Duplicate { .. } => "duplicate",
        Disposition::Filtered => "filtered",
        Disposition::RetryInPlace { .. } | Disposition::RetryTopic { .. } => "retried",
        Disposition::DeadLetter { .. } => "dead-lettered",
        Disposition::Unprocessed => "unprocessed",
        Disposition::Halted { .. } => "halted",
    }
}
