//! What happened to one event, step by step, from its outcome records.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::schema::payloads::{Outcome, OutcomeKind};

/// An event's attempts in the order in which they ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    pub event_id: String,
    pub event_type: Option<String>,
    pub source: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    pub utids: Vec<String>,
    /// What the last attempt came to.
    pub outcome: OutcomeKind,
    pub steps: Vec<StoryStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryStep {
    /// RFC 3339.
    pub at: String,
    pub attempt: i32,
    /// Where the record stood: `topic[partition]@offset`.
    pub place: String,
    pub route: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub detail: Value,
}

impl Story {
    /// One for each source that has an event of this id, in order of the sources: an event is known by both.
    #[must_use]
    pub fn by_source(outcomes: Vec<Outcome<'_>>) -> Vec<Self> {
        let mut sources: BTreeMap<Option<String>, Vec<Outcome<'_>>> = BTreeMap::new();
        for outcome in outcomes {
            sources.entry(outcome.source.as_deref().map(str::to_owned)).or_default().push(outcome);
        }
        sources.into_values().filter_map(Self::of).collect()
    }

    /// `None` if there are no outcomes. A record that was written twice (at-least-once) counts once.
    fn of(mut outcomes: Vec<Outcome<'_>>) -> Option<Self> {
        // The order of attempts is that of the hops; a hop's attempts rise.
        outcomes.sort_by_key(|outcome| (outcome.ended_at, outcome.attempt));
        let mut seen = BTreeSet::new();
        outcomes.retain(|outcome| seen.insert((outcome.record_id(), outcome.outcome)));
        let (first, last) = (outcomes.first()?, outcomes.last()?);
        Some(Self {
            event_id: first.event_id.as_deref().unwrap_or_default().to_owned(),
            event_type: first.event_type.as_deref().map(str::to_owned),
            source: first.source.as_deref().map(str::to_owned),
            correlation_id: first.correlation_id.as_deref().map(str::to_owned),
            causation_id: first.causation_id.as_deref().map(str::to_owned),
            utids: first.utids.iter().map(ToString::to_string).collect(),
            outcome: last.outcome,
            steps: outcomes.iter().flat_map(steps).collect(),
        })
    }
}

fn steps<'a>(outcome: &'a Outcome<'_>) -> impl Iterator<Item = StoryStep> + 'a {
    outcome.steps.iter().map(|step| StoryStep {
        at: time(step.at.unwrap_or(outcome.ended_at)),
        attempt: outcome.attempt,
        place: format!("{}[{}]@{}", outcome.topic, outcome.partition, outcome.offset),
        route: outcome.route.as_deref().map(str::to_owned),
        kind: step.kind.clone().into_owned(),
        detail: serde_json::from_str(&step.detail).unwrap_or_else(|_| Value::from(&*step.detail)),
    })
}

fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}
