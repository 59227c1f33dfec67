//! What a tailing connector is doing, for a person who watches.

use std::collections::BTreeMap;

/// Of all sources, by name. Sent through a watch channel: only the newest state matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub sources: BTreeMap<String, SourceState>,
}

/// Of one source, since this process took it over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// Records.
    pub read: u64,
    /// Events in committed transactions.
    pub published: u64,
    /// Records that were not what they should be.
    pub refused: u64,
    /// Offsets that retention took.
    pub lost: u64,
    pub phase: Phase,
    /// The last error, until something succeeds.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Another connector owns it, or ownership is not decided yet.
    #[default]
    StandingBy,
    Tailing,
    /// Waiting to try again after an error, or given up.
    Failing,
}

impl Progress {
    /// Events published, of all sources.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.sources.values().map(|source| source.published).sum()
    }
}
