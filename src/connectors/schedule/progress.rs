//! What the connector is doing, for a person who watches.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Of all schedules. Sent through a watch channel: only the newest state matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub schedules: BTreeMap<String, ScheduleProgress>,
    /// The last error, until something succeeds.
    pub error: Option<String>,
}

/// Of one schedule, since this process leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleProgress {
    /// In committed transactions.
    pub fired: u64,
    pub skipped: u64,
    /// When it is due next; nothing is known while another process leads.
    pub next: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Another process leads, or it is not decided yet who does.
    #[default]
    StandingBy,
    Leading,
    /// Waiting to try again after an error.
    Failing,
}
