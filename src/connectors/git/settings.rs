//! What to watch, and from where on.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use gix::ObjectId;

use super::address::Address;
use super::batch::Limits;
use super::patterns::Patterns;

/// Where a repository's publication begins, once: later starts continue where the offsets say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Only what is pushed after the first start.
    #[default]
    Now,
    /// What this commit does not reach.
    Commit(ObjectId),
    /// Everything.
    History,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Commit(commit) => write!(f, "commit:{commit}"),
            Self::History => f.write_str("history"),
        }
    }
}

/// A start that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("start {0:?} is unknown; allowed: now, history, commit:<40 hexadecimal digits>")]
pub struct BadStart(pub String);

impl FromStr for Start {
    type Err = BadStart;

    fn from_str(text: &str) -> Result<Self, BadStart> {
        match text {
            "now" => Ok(Self::Now),
            "history" => Ok(Self::History),
            _ => {
                let sha = text.strip_prefix("commit:").and_then(|sha| ObjectId::from_hex(sha.trim().as_bytes()).ok());
                sha.map(Self::Commit).ok_or_else(|| BadStart(text.to_owned()))
            }
        }
    }
}

/// One watched repository.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    pub address: Address,
    pub branches: Patterns,
    /// A commit is published if it touches one of these paths.
    pub paths: Patterns,
    pub tags: Patterns,
    pub start: Start,
    pub poll: PollSettings,
    pub limits: Limits,
}

impl RepositorySettings {
    /// All branches, paths and tags, from now on.
    #[must_use]
    pub fn new(address: Address) -> Self {
        let any = Patterns::any;
        let poll = PollSettings::for_location(&address.location);
        let start = Start::default();
        Self { address, branches: any(), paths: any(), tags: any(), start, poll, limits: Limits::default() }
    }
}

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollSettings {
    /// Mean time between two looks; each is up to a fifth shorter or longer, so that many repositories spread out.
    pub interval: Duration,
    /// First wait after an error; doubled on each further one.
    pub backoff: Duration,
    /// Longest wait after errors.
    pub backoff_max: Duration,
}

impl PollSettings {
    /// A second for a directory, half a minute for a server.
    #[must_use]
    pub fn for_location(location: &super::Location) -> Self {
        let interval = match location {
            super::Location::Directory(_) => Duration::from_secs(1),
            super::Location::Remote(_) | super::Location::Unreadable { .. } => Duration::from_secs(30),
        };
        Self { interval, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(300) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_come_back_as_they_were_written() {
        for text in ["now", "history", "commit:0123456789012345678901234567890123456789"] {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        let error = "tomorrow".parse::<Start>().unwrap_err().to_string();
        assert!(error.contains("tomorrow") && error.contains("history"), "{error}");
    }
}
