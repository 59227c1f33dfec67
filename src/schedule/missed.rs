//! What becomes of due times that nobody was there to fire.

use std::fmt;

/// At most this many are caught up.
pub const LIMIT_MAX: u32 = 10_000;

/// The policy of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// None is caught up.
    Skip,
    /// The last one is, unless a due time that is not missed stands for it.
    Latest,
    /// The last ones are, at most this many.
    All(u32),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::Latest => f.write_str("latest"),
            Self::All(limit) => write!(f, "all, up to {limit}"),
        }
    }
}
