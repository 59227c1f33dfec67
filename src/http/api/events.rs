//! What became of events, from the audit records: `GET /events` page by page, and `GET /events/{id}` step by step.
//!
//! Both read topics, which takes a while: [`READS_MAX`] at a time, others are told to come again.

pub(super) mod list;
pub(super) mod story;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::bitt::{OutcomePages, Trail, TrailError};
use crate::kafka::scan::ScanError;
use crate::schema::Codec;
use axum::http::StatusCode;

/// What is needed of who asks.
const PERMISSION: &str = "api:events:GET";
const READS_MAX: usize = 4;

/// Where audit records are read from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditReads {
    pages: OutcomePages,
    trail: Trail,
    codec: Codec,
    turns: Arc<Semaphore>,
}

impl AuditReads {
    #[must_use]
    pub fn new(pages: OutcomePages, trail: Trail, codec: Codec) -> Self {
        Self { pages, trail, codec, turns: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// # Errors
    /// 503: too many read.
    fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        turn.map_err(|_| Problem::unavailable("too many ask for events"))
    }
}

fn unavailable(error: &TrailError) -> Problem {
    if let TrailError::Scan(ScanError::Expired { .. } | ScanError::Overtaken { .. }) = error {
        let detail = "retention has taken what the cursor leads to; begin anew";
        return Problem::new(StatusCode::GONE, "cursor-expired", detail);
    }
    tracing::error!(%error, "audit records cannot be read");
    Problem::unavailable("audit records cannot be read at the moment")
}
