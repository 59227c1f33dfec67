//! What became of due times of a schedule, or what somebody did with it.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.schedule.Decision`, the value of the topic `coafi.schedule.ledger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleDecision {
    pub schedule: String,
    pub decision: DecisionKind,
    /// Of what was skipped a code, of what somebody did their words.
    pub reason: String,
    /// The first due time that it is about.
    #[serde(default)]
    pub due_from: Option<i64>,
    /// The last one.
    #[serde(default)]
    pub due_to: Option<i64>,
    /// How many there are between them, both included.
    #[serde(default)]
    pub count: i32,
    /// CloudEvents id of the fire.
    #[serde(default)]
    pub event_id: Option<String>,
    pub by: String,
    pub at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    Fired,
    CaughtUp,
    Backfilled,
    Triggered,
    Skipped,
    /// Due times are decided from here on.
    Started,
    Paused,
    Resumed,
    /// Somebody asked for due times; those that are fired follow.
    Backfill,
}

impl DecisionKind {
    /// As the schema names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::CaughtUp => "caught_up",
            Self::Backfilled => "backfilled",
            Self::Triggered => "triggered",
            Self::Skipped => "skipped",
            Self::Started => "started",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Backfill => "backfill",
        }
    }

    /// Whether a due time was fired.
    #[must_use]
    pub const fn is_fire(self) -> bool {
        matches!(self, Self::Fired | Self::CaughtUp | Self::Backfilled)
    }
}

impl Payload for ScheduleDecision {
    const EVENT_TYPE: &'static str = "schedule.decision";
    const RECORD_NAME: &'static str = "org.coafi.schedule.Decision";
    const SCHEMA: &'static str = embedded::SCHEDULE_DECISION;
}

impl Encodes<Self> for ScheduleDecision {}
