//! The way of each record that was sent: the places where it stood, and what is said about it there.

use std::collections::BTreeMap;

use super::{Ending, Evidence, Forward, Forwarded, Outcome, Place, Sent};

/// One record's way.
pub(super) struct Way<'e> {
    pub(super) sent: &'e Sent,
    /// Where it was sent to, and then its places in retry topics.
    pub(super) places: Vec<&'e Place>,
    /// Everything that is said about it, in the order of the audit topic.
    pub(super) outcomes: Vec<&'e Outcome>,
}

impl Way<'_> {
    /// What the way ended with; `None` while it has no end, or stands somewhere still.
    pub(super) fn ending(&self) -> Option<Ending> {
        let left = |place: &Place| self.outcomes.iter().any(|outcome| outcome.place == *place && outcome.leaves());
        let gone = self.places.iter().all(|place| left(place));
        gone.then(|| self.outcomes.iter().find_map(|outcome| outcome.ending())).flatten()
    }

    /// Whether it had to leave its place, or to halt there, with attempts left that it could have made there.
    pub(super) fn overflowed(&self) -> bool {
        self.outcomes.iter().any(|outcome| self.is_overflow(outcome))
    }

    pub(super) fn is_overflow(&self, outcome: &Outcome) -> bool {
        let failed = matches!(outcome.class.as_deref(), Some("transient" | "panic" | "deadline"));
        let early = (1..self.sent.policy.in_place).contains(&outcome.attempt);
        let gave_up = matches!(outcome.kind.as_str(), "retried_topic" | "dead_lettered" | "halted");
        failed && early && gave_up && outcome.place == self.sent.place
    }

    pub(super) fn has_halted(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.kind == "halted")
    }

    pub(super) fn hopped(&self) -> bool {
        self.places.len() > 1 || self.outcomes.iter().any(|outcome| outcome.kind == "retried_topic")
    }

    /// For evidence.
    pub(super) fn describe(&self) -> String {
        let said: Vec<String> = self
            .outcomes
            .iter()
            .map(|o| {
                let class = o.class.as_deref().map_or(String::new(), |class| format!(" ({class})"));
                format!("{}#{}{class} epoch {} at {}/{}", o.kind, o.attempt, o.epoch, o.at.0, o.at.1)
            })
            .collect();
        let Sent { place, id, key, sequence, .. } = self.sent;
        let id = id.as_deref().unwrap_or("no event");
        format!("{place} {id} (key {key}, sequence {sequence}): [{}]", said.join(", "))
    }
}

/// The ways of all records, in the order in which they were sent.
pub(super) struct Ways<'e> {
    pub(super) all: Vec<Way<'e>>,
    /// By the place that a record was sent to.
    pub(super) forwarded: BTreeMap<&'e Place, Vec<&'e Forwarded>>,
}

impl<'e> Ways<'e> {
    pub(super) fn new(records: &'e [Sent], evidence: &'e Evidence) -> Self {
        let mut forwarded: BTreeMap<&Place, Vec<&Forwarded>> = BTreeMap::new();
        for one in &evidence.forwarded {
            forwarded.entry(&one.origin).or_default().push(one);
        }
        let mut outcomes: BTreeMap<&Place, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &evidence.outcomes {
            outcomes.entry(&outcome.place).or_default().push(outcome);
        }
        let way = |sent: &'e Sent| {
            let hops = forwarded.get(&sent.place).into_iter().flatten().filter(|one| one.to == Forward::Retry);
            let places: Vec<&Place> = std::iter::once(&sent.place).chain(hops.map(|one| &one.place)).collect();
            let mut said: Vec<&Outcome> =
                places.iter().filter_map(|place| outcomes.get(place)).flatten().copied().collect();
            said.sort_by_key(|outcome| outcome.at);
            Way { sent, places, outcomes: said }
        };
        let all = records.iter().map(way).collect();
        Self { all, forwarded }
    }
}
