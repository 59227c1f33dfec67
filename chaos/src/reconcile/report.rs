//! What was found.

use std::collections::BTreeMap;

use super::Ending;

/// Examples that are kept of each harm.
const MAX_EXAMPLES: usize = 20;

/// Something that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// A record without an end.
    Lost,
    /// Outcome records beyond one per attempt and one end per record.
    DoubledOutcomes,
    /// Derived events beyond one per processed event that derives one.
    DoubledDerived,
    /// Database writes beyond one per processed event that writes one.
    DoubledEffects,
    /// Records in retry and dead-letter topics beyond one per outcome that says so.
    DoubledForwards,
    /// Of one key, a later event before an earlier one.
    Reordered,
    /// A processed event without its derived one.
    DerivedMissing,
    /// A processed event without its row.
    EffectsMissing,
    /// An outcome that says dead-lettered, retried or unprocessed, without that record.
    ForwardsMissing,
    /// An attempt with a number above the policy's limit.
    AttemptsBeyondPolicy,
    /// An attempt with a number that was used before.
    AttemptWentBack,
    /// An attempt number that was left out.
    AttemptSkipped,
    /// A row of an owner that had been succeeded, or on an old state.
    OldEpochWrites,
    /// A record that was handled or passed and that no receipt covers.
    AuditGaps,
    /// A committed position, or the offset map with it, passed a record without an outcome.
    PassedUnresolved,
    /// An end that the event does not deserve: dead-lettered because of an outage, say, or halted where its route has another
    /// policy.
    WrongEnd,
}

impl Harm {
    pub const ALL: [Self; 16] = [
        Self::Lost,
        Self::DoubledOutcomes,
        Self::DoubledDerived,
        Self::DoubledEffects,
        Self::DoubledForwards,
        Self::Reordered,
        Self::DerivedMissing,
        Self::EffectsMissing,
        Self::ForwardsMissing,
        Self::AttemptsBeyondPolicy,
        Self::AttemptWentBack,
        Self::AttemptSkipped,
        Self::OldEpochWrites,
        Self::AuditGaps,
        Self::PassedUnresolved,
        Self::WrongEnd,
    ];

    /// As in the JSON object.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::DoubledOutcomes => "doubled_outcomes",
            Self::DoubledDerived => "doubled_derived",
            Self::DoubledEffects => "doubled_effects",
            Self::DoubledForwards => "doubled_forwards",
            Self::Reordered => "reordered",
            Self::DerivedMissing => "derived_missing",
            Self::EffectsMissing => "effects_missing",
            Self::ForwardsMissing => "forwards_missing",
            Self::AttemptsBeyondPolicy => "attempts_beyond_policy",
            Self::AttemptWentBack => "attempt_went_back",
            Self::AttemptSkipped => "attempt_skipped",
            Self::OldEpochWrites => "old_epoch_writes",
            Self::AuditGaps => "audit_gaps",
            Self::PassedUnresolved => "passed_unresolved",
            Self::WrongEnd => "wrong_end",
        }
    }

    /// Whether it is a repetition, of which [`Report::doubled`] is the sum.
    #[must_use]
    pub const fn is_double(self) -> bool {
        matches!(self, Self::DoubledOutcomes | Self::DoubledDerived | Self::DoubledEffects | Self::DoubledForwards)
    }
}

/// Counts, with examples.
#[derive(Clone, Debug)]
pub struct Report {
    /// Records that the broker has, or has acknowledged.
    pub sent: usize,
    /// Those of them that it never acknowledged.
    pub unacknowledged: usize,
    /// Those of them that it acknowledged and does not have.
    pub lost_by_broker: usize,
    /// Records that came to an end by an outcome, by that.
    pub ended: BTreeMap<Ending, usize>,
    /// Records that the overflow policy took out of their places, or halted.
    pub overflowed: usize,
    /// Records that halted for a while.
    pub halted: usize,
    /// Records that were given up for killing their processes.
    pub crashed: usize,
    counts: BTreeMap<Harm, usize>,
    /// What was seen, the first few of each harm.
    pub examples: Vec<(Harm, String)>,
}

impl Report {
    pub(super) const fn new(sent: usize) -> Self {
        Self {
            sent,
            unacknowledged: 0,
            lost_by_broker: 0,
            ended: BTreeMap::new(),
            overflowed: 0,
            halted: 0,
            crashed: 0,
            counts: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    /// Records that came to an end by an outcome.
    #[must_use]
    pub fn resolved(&self) -> usize {
        self.ended.values().sum()
    }

    pub(super) fn add(&mut self, harm: Harm, example: impl FnOnce() -> String) {
        let count = self.counts.entry(harm).or_default();
        *count += 1;
        if *count <= MAX_EXAMPLES {
            self.examples.push((harm, example()));
        }
    }

    #[must_use]
    pub fn count(&self, harm: Harm) -> usize {
        self.counts.get(&harm).copied().unwrap_or(0)
    }

    /// All repetitions together.
    #[must_use]
    pub fn doubled(&self) -> usize {
        Harm::ALL.into_iter().filter(|harm| harm.is_double()).map(|harm| self.count(harm)).sum()
    }
}
