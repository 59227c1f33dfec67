//! `schedule.fired`: a schedule's time has come.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.ScheduleFiredEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleFired {
    /// The schedule's name.
    pub schedule: String,
    pub due_at: i64,
    pub fired_at: i64,
    pub reason: FireReason,
    /// What the schedule is configured with, JSON.
    pub data: String,
    #[serde(default)]
    pub utids: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FireReason {
    Fired,
    CaughtUp,
    Backfilled,
    Triggered,
}

impl Payload for ScheduleFired {
    const EVENT_TYPE: &'static str = "schedule.fired";
    const RECORD_NAME: &'static str = "org.coafi.events.ScheduleFiredEventPayload";
    const SCHEMA: &'static str = embedded::SCHEDULE_FIRED;
}

impl Encodes<Self> for ScheduleFired {}
