//! What happened to one event, step by step, from its outcome records and from what people did with it. What replays made of
//! it is told apart, replay by replay: it says nothing about where the event stands.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::replay_of;
use crate::schema::payloads::{Intervention, Outcome, OutcomeKind};

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
    /// What the last attempt came to; `None` if only replays have handled it, as far as is still recorded.
    pub outcome: Option<OutcomeKind>,
    pub steps: Vec<StoryStep>,
    /// In the order of their first steps.
    pub replays: Vec<Replayed>,
}

/// What one replay made of the event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    pub name: String,
    pub group: String,
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
    pub fn by_source(outcomes: Vec<Outcome<'_>>, interventions: &[Intervention<'_>]) -> Vec<Self> {
        let mut sources: BTreeMap<Option<String>, Vec<Outcome<'_>>> = BTreeMap::new();
        for outcome in outcomes {
            sources.entry(outcome.source.as_deref().map(str::to_owned)).or_default().push(outcome);
        }
        let of = |(source, outcomes): (Option<String>, _)| {
            let theirs: Vec<_> =
                interventions.iter().filter(|done| done.source.as_deref() == source.as_deref()).collect();
            Self::of(outcomes, &theirs)
        };
        sources.into_iter().filter_map(of).collect()
    }

    /// `None` if there are no outcomes. A record that was written twice (at-least-once) counts once.
    fn of(mut outcomes: Vec<Outcome<'_>>, interventions: &[&Intervention<'_>]) -> Option<Self> {
        // The order of attempts is that of the hops; a hop's attempts rise.
        outcomes.sort_by_key(|outcome| (outcome.ended_at, outcome.attempt));
        let mut seen = BTreeSet::new();
        outcomes.retain(|outcome| seen.insert((outcome.record_id(), outcome.outcome)));
        let (live, replayed): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|outcome| replay_of(&outcome.group, &outcome.run).is_none());
        let mut told: Vec<(i64, Vec<StoryStep>)> =
            live.iter().map(|outcome| (outcome.ended_at, steps(outcome).collect())).collect();
        for done in interventions {
            let before = told.iter().position(|(at, _)| *at >= done.at).unwrap_or(told.len());
            told.insert(before, (done.at, vec![step_of(done)]));
        }
        let first = live.first().or(replayed.first())?;
        Some(Self {
            event_id: first.event_id.as_deref().unwrap_or_default().to_owned(),
            event_type: first.event_type.as_deref().map(str::to_owned),
            source: first.source.as_deref().map(str::to_owned),
            correlation_id: first.correlation_id.as_deref().map(str::to_owned),
            causation_id: first.causation_id.as_deref().map(str::to_owned),
            utids: first.utids.iter().map(ToString::to_string).collect(),
            outcome: live.last().map(|last| last.outcome),
            steps: told.into_iter().flat_map(|(_, steps)| steps).collect(),
            replays: Replayed::each(&replayed),
        })
    }
}

impl Replayed {
    /// From the outcomes of all replays, in their order.
    fn each(outcomes: &[&Outcome<'_>]) -> Vec<Self> {
        let mut replays: Vec<Self> = Vec::new();
        for outcome in outcomes {
            let Some(name) = replay_of(&outcome.group, &outcome.run) else { continue };
            match replays.iter_mut().find(|replay| replay.group == outcome.group) {
                Some(replay) => {
                    replay.outcome = outcome.outcome;
                    replay.steps.extend(steps(outcome));
                }
                None => replays.push(Self {
                    name: name.to_owned(),
                    group: outcome.group.clone().into_owned(),
                    outcome: outcome.outcome,
                    steps: steps(outcome).collect(),
                }),
            }
        }
        replays
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

fn step_of(done: &Intervention<'_>) -> StoryStep {
    let mut detail = json!({"by": done.by, "reason": done.reason});
    if let Some(place) = &done.sent_to {
        detail["redrive"] = done.redrive.into();
        detail["sentTo"] = place.to_string().into();
    }
    StoryStep {
        at: time(done.at),
        attempt: 0,
        place: format!("{}[{}]@{}", done.topic, done.partition, done.offset),
        route: None,
        kind: done.action.name().to_owned(),
        detail,
    }
}

fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::sample;

    #[test]
    fn a_redrive_stands_between_the_failure_and_what_came_of_it() {
        let failed = Outcome { ended_at: 1_000, outcome: OutcomeKind::DeadLettered, ..sample::outcome() };
        let again = Outcome { ended_at: 3_000, offset: 43, outcome: OutcomeKind::Processed, ..sample::outcome() };
        let redriven = Intervention { at: 2_000, ..sample::intervention() };
        let of_another = Intervention { source: Some("/other".into()), ..sample::intervention() };
        let stories = Story::by_source(vec![again, failed], &[redriven, of_another]);
        assert_eq!((stories.len(), stories[0].outcome), (1, Some(OutcomeKind::Processed)));
        let kinds: Vec<_> = stories[0].steps.iter().map(|step| step.kind.as_str()).collect();
        assert_eq!(kinds, ["HANDLER_INVOKED", "EVENT_REDRIVEN", "HANDLER_INVOKED"]);
        assert_eq!(stories[0].steps[1].detail["sentTo"], "coafi.git[3]@42");
    }

    #[test]
    fn replays_stand_apart_from_what_became_of_the_event() {
        let of = |name: &str, at: i64, outcome: OutcomeKind| {
            let group = format!("coafi.replay.{name}");
            Outcome { ended_at: at, outcome, run: group.clone().into(), group: group.into(), ..sample::outcome() }
        };
        let live = Outcome { ended_at: 1_000, outcome: OutcomeKind::DeadLettered, ..sample::outcome() };
        let replays = [
            of("one", 2_000, OutcomeKind::RetriedInPlace),
            of("two", 3_000, OutcomeKind::Filtered),
            of("one", 4_000, OutcomeKind::Processed),
        ];
        let [told] = &Story::by_source([vec![live], replays.to_vec()].concat(), &[])[..] else { panic!() };
        assert_eq!(
            (told.outcome, told.steps.len()),
            (Some(OutcomeKind::DeadLettered), 1),
            "replays change nothing of it"
        );
        let apart: Vec<_> =
            told.replays.iter().map(|replay| (&*replay.name, replay.outcome, replay.steps.len())).collect();
        assert_eq!(apart, [("one", OutcomeKind::Processed, 2), ("two", OutcomeKind::Filtered, 1)]);
        assert_eq!(told.replays[0].group, "coafi.replay.one");

        let [only] = &Story::by_source(replays.to_vec(), &[])[..] else { panic!() };
        assert_eq!((only.outcome, only.steps.len(), only.replays.len()), (None, 0, 2));
    }
}
