//! One fire of a schedule.

use jiff::Timestamp;

/// A due time that is, or was, fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fire {
    /// When it was due; of a trigger by hand, when that was.
    pub due: Timestamp,
    pub reason: Reason,
}

/// Why there is a fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time had come.
    OnTime,
    /// Its time had passed.
    CaughtUp,
    /// Somebody asked for a time that had passed.
    Backfilled,
    /// Somebody asked.
    Triggered,
}

impl Fire {
    /// CloudEvents `id`: with the name's `source` the same for the same due time, whoever fires it and why. A trigger is no
    /// due time, and is not mistaken for one.
    #[must_use]
    pub fn id(&self) -> String {
        match self.reason {
            Reason::OnTime | Reason::CaughtUp | Reason::Backfilled => self.due.to_string(),
            Reason::Triggered => format!("{}/triggered", self.due),
        }
    }
}
