//! When schedules fire: which due times there are, which of them are due now, and what becomes of those that were missed.
//!
//! Pure: the time is an argument, nothing is read, published or remembered. It does not know who fires (see
//! `connectors::schedule`), nor what a fire starts.
//!
//! # Times
//! A cron expression is about a wall clock, which is put forward and back. `cron` fires, in its zone:
//!
//! | expression | the clock goes forward over it (gap) | the clock goes back over it (overlap) |
//! |---|---|---|
//! | one time of day (`30 2 * * *`) | once, at the first instant after the gap | once, the first of the two times |
//! | several (`*/10 * * * *`, `0 2,14 * * *`) | not: that time does not exist | both times, in real order |
//!
//! So what runs daily runs on every day, once, and what runs every ten minutes runs every ten minutes. An interval
//! (`every`) is about real time: multiples of it since the Unix epoch, the same on every machine and after every restart.
//!
//! # Decisions
//! A [`Standing`] says up to when every due time of a schedule is decided. [`decide`] decides those after it, oldest first:
//!
//! | the due time | `skip` | `latest` | `all` |
//! |---|---|---|---|
//! | is in the future | not decided | not decided | not decided |
//! | is at most `grace` ago | fired | fired | fired |
//! | is longer ago | skipped | caught up if it is the last one and none is on time, else skipped | caught up if it is one of the last `limit`, else skipped |
//! | is after the schedule was paused, or it is disabled | skipped | skipped | skipped |
//!
//! A takeover takes less than `grace`, so that it skips nothing whatever the policy is.
//!
//! Identity: a fire's `source` and `id` follow from the schedule's name and the due time alone ([`Fire`]), so that whoever
//! decides, and whenever, the event is the same.

mod decide;
mod fire;
mod missed;
mod name;
mod standing;
mod timetable;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use decide::{Decided, Decision, FIRES_MAX, STEP_MAX, Skip, Why, decide};
pub use fire::{Fire, Reason};
pub use missed::{LIMIT_MAX, Missed};
pub use name::{BadName, Name};
pub use standing::{Pause, Standing, UnreadableStanding};
pub use timetable::{BadTimetable, INTERVAL_MAX, INTERVAL_MIN, Timetable};

/// Data of a schedule's events, as JSON, may have this many bytes.
pub const DATA_MAX_BYTES: usize = 16 << 10;

/// A due time that is at most this late is on time, unless configured otherwise.
pub const GRACE: Duration = Duration::from_secs(60);

/// What fires, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: Name,
    pub timetable: Timetable,
    /// Type of its events.
    pub event_type: String,
    /// Data of its events.
    pub data: serde_json::Value,
    /// What becomes of due times that are longer ago than [`Self::grace`].
    pub missed: Missed,
    pub grace: Duration,
    /// Otherwise it fires only when it is told to.
    pub enabled: bool,
}
