//! What is remembered of a schedule: up to when its due times are decided, and whether it is paused.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Timetable;

/// The version that is written.
const VERSION: u32 = 1;

/// Kept with the connector's source offsets, one per schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    v: u32,
    /// What the due times followed from. With another timetable they begin anew: nothing was due by it before.
    timetable: String,
    /// Every due time up to here is decided.
    pub decided_to: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
}

/// Due times after this are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub at: Timestamp,
    /// Who said so.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is kept of the schedule cannot be read: {0}")]
pub struct UnreadableStanding(pub String);

impl Standing {
    /// Of a schedule that nothing was due of before.
    #[must_use]
    pub fn new(timetable: &Timetable, now: Timestamp) -> Self {
        Self { v: VERSION, timetable: timetable.to_string(), decided_to: now, paused: None }
    }

    #[must_use]
    pub fn is_of(&self, timetable: &Timetable) -> bool {
        self.timetable == timetable.to_string()
    }

    /// The same with everything up to `time` decided; a clock that was put back takes nothing back.
    #[must_use]
    pub fn decided_to(self, time: Timestamp) -> Self {
        Self { decided_to: self.decided_to.max(time), ..self }
    }

    /// # Errors
    /// It is of a newer version, or of none.
    pub fn read(value: &Value) -> Result<Self, UnreadableStanding> {
        let standing = Self::deserialize(value).map_err(|error| UnreadableStanding(error.to_string()))?;
        if standing.v == VERSION {
            Ok(standing)
        } else {
            Err(UnreadableStanding(format!("version {}, and this program knows {VERSION}", standing.v)))
        }
    }

    #[must_use]
    pub fn written(&self) -> Value {
        serde_json::to_value(self).expect("texts and times are JSON")
    }
}
