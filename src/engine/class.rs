//! Error classes: handlers classify, only the engine decides what follows.

use std::fmt;
use std::sync::Arc;

/// What kind of failure an attempt ended with.
///
/// | class | example | what the engine does |
/// |---|---|---|
/// | poison | undecodable bytes, unknown schema id confirmed absent | dead letter at once |
/// | invalid | validation failed | dead letter with the errors |
/// | permanent | the handler says that no retry helps | dead letter |
/// | transient | time-out, 5xx, conflict | retry by the route's policy |
/// | panic, deadline | the handler panicked or outlived its deadline | transient with a lower limit |
/// | systemic | a dependency is down | hold, open the dependency's circuit; no attempt is used |
/// | crash | the record was running in three processes that died | dead letter |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    Poison,
    Invalid,
    Permanent,
    Transient,
    Panic,
    Deadline,
    Systemic(Dependency),
    Crash,
}

impl Class {
    /// Names of those that end in a dead letter: all but systemic, which is waited for.
    pub const DEAD_LETTERED: [&'static str; 7] = [
        Self::Poison.name(),
        Self::Invalid.name(),
        Self::Permanent.name(),
        Self::Transient.name(),
        Self::Panic.name(),
        Self::Deadline.name(),
        Self::Crash.name(),
    ];

    /// The name in headers, audit records and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::Invalid => "invalid",
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Panic => "panic",
            Self::Deadline => "deadline",
            Self::Systemic(_) => "systemic",
            Self::Crash => "crash",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that many records need and that can be down: `database`, `schema-registry`, `artifacts`, `ledger`, or a name
/// that a handler gives, or `schema:` with a subject. Equal names are the same dependency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency(pub Arc<str>);

impl Dependency {
    pub const DATABASE: &'static str = "database";
    pub const SCHEMA_REGISTRY: &'static str = "schema-registry";
    pub const ARTIFACTS: &'static str = "artifacts";
    pub const LEDGER: &'static str = "ledger";

    /// A schema that the registry does not have or does not take: the registry answers, so that what it is needed for is all
    /// that waits.
    const SCHEMA: &'static str = "schema:";

    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Of the schema under this subject.
    #[must_use]
    pub fn schema(subject: &str) -> Self {
        Self(format!("{}{subject}", Self::SCHEMA).into())
    }

    /// Whether there are many of its kind, of which each record needs its own: `http:` with an endpoint, `git:` with a host,
    /// `notify:` with a channel, `schema:` with a subject. The others, such as `database`, are what a handler works with.
    #[must_use]
    pub fn is_one_of_many(&self) -> bool {
        self.0.contains(':')
    }

    /// The subject, if it is a schema.
    #[must_use]
    pub fn schema_subject(&self) -> Option<&str> {
        self.0.strip_prefix(Self::SCHEMA)
    }

    /// What it is while it is waited for, after its name.
    #[must_use]
    pub fn state_when_open(&self) -> &'static str {
        if self.schema_subject().is_some() { "cannot be used" } else { "is down" }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
