//! What came out, beside what is recorded of the live group: read from the audit records, one final outcome per event.
//!
//! Compared are the outcome's kind, class and code, the route, and the handlers' result without `workflowId`, which every run
//! has its own of. The version of the routes file is shown, and no difference by itself: any edit of the file changes it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::Plan;
use crate::app::AUDIT_TOPIC;
use crate::event::TopicPartition;
use crate::kafka::scan::{Bound, Reader};
use crate::schema::payloads::{Outcome, OutcomeKind};
use crate::schema::{Codec, Payload as _};

/// Differences that are kept to be shown; all are counted.
pub const MAX_SHOWN: usize = 100;
/// An outcome is looked for from this long before its event was written: clocks differ.
const SKEW_MS: i64 = 300_000;

/// Whose outcomes.
pub(super) struct Trail {
    pub(super) group: String,
    pub(super) run: String,
}

impl Trail {
    fn is_of(&self, outcome: &Outcome<'_>) -> bool {
        outcome.group == self.group && outcome.run == self.run
    }

    fn source(&self) -> String {
        format!("/coafi/{}", self.group)
    }
}

/// How an event came out on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    pub outcome: OutcomeKind,
    pub error_class: Option<String>,
    pub error_code: Option<String>,
    pub route: Option<String>,
    pub route_version: Option<String>,
    #[serde(skip)]
    result: u64,
    /// An endpoint that an isolated replay does not call.
    #[serde(skip)]
    not_called: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// `outcome`, `error`, `route`, `result`; or `recorded only`, `replayed only`.
    pub what: Vec<&'static str>,
    pub recorded: Option<Side>,
    pub replayed: Option<Side>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub same: u64,
    /// Those of the same that failed for good, then as now.
    pub same_failed: u64,
    pub different: u64,
    /// By the same route as then, to an endpoint that an isolated replay does not call: there is nothing to compare.
    pub not_called: u64,
    /// The live group has no outcome of these, or it is not kept any more.
    pub replayed_only: u64,
    /// The replay is through, and has no outcome of these.
    pub recorded_only: u64,
    /// Neither has one.
    pub undecided: u64,
    /// The replay was stopped before it came to an outcome of these.
    pub not_reached: u64,
    /// Replayed events by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The first [`MAX_SHOWN`].
    pub differences: Vec<Difference>,
}

/// How far the replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Through,
    Stopped,
}

impl Comparison {
    /// Every event was replayed, and to what is recorded of it, if anything is.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.different + self.recorded_only + self.undecided + self.not_reached == 0
    }
}

#[derive(Default)]
struct Pair {
    recorded: Option<Side>,
    replayed: Option<Side>,
}

/// # Errors
/// The audit records cannot be read or decoded.
pub(super) async fn compare(
    reader: &Reader,
    codec: &Codec,
    plan: &Plan,
    recorded: &Trail,
    replayed: &Trail,
    extent: Extent,
) -> anyhow::Result<Comparison> {
    let mut pairs: HashMap<TopicPartition, HashMap<i64, Pair>> = HashMap::new();
    for (source, offset) in plan.places() {
        pairs.entry(source.clone()).or_default().insert(offset, Pair::default());
    }
    let oldest = plan.oldest_ms().map(|ms| Timestamp::from_millisecond((ms - SKEW_MS).max(0))).transpose()?;
    let from = oldest.map_or(Bound::Beginning, Bound::Time);
    // The replay's last commit may have been answered just now.
    let mut records = reader.read(&reader.settled(AUDIT_TOPIC, from).await?)?;
    let sources = [recorded.source(), replayed.source()];
    while let Some(record) = records.next().await? {
        let headers = record.headers();
        let is_outcome = headers.text("ce_type") == Some(<Outcome<'static>>::EVENT_TYPE);
        if !is_outcome || !headers.text("ce_source").is_some_and(|source| sources.iter().any(|own| own == source)) {
            continue;
        }
        let outcome: Outcome<'static> = codec.decode_avro(record.value().unwrap_or_default()).await?;
        let (topic, partition, offset) = match &outcome.origin {
            Some(origin) => (&origin.topic, origin.partition, origin.offset),
            None => (&outcome.topic, outcome.partition, outcome.offset),
        };
        let source = TopicPartition { topic: (&**topic).into(), partition };
        let Some(pair) = pairs.get_mut(&source).and_then(|of_source| of_source.get_mut(&offset)) else { continue };
        // An event's outcomes are in one partition, in order: the last one stands.
        if recorded.is_of(&outcome) {
            pair.recorded = Some(side(&outcome));
        } else if replayed.is_of(&outcome) {
            pair.replayed = Some(side(&outcome));
        }
    }
    let mut take =
        |source: &TopicPartition, offset: i64| pairs.get_mut(source).and_then(|of_source| of_source.remove(&offset));
    let pairs = plan.places().map(|(source, offset)| ((source, offset), take(source, offset).unwrap_or_default()));
    Ok(judge(pairs, extent))
}

fn side(outcome: &Outcome<'_>) -> Side {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let result: Option<Value> = outcome.result.as_deref().and_then(|result| serde_json::from_str(result).ok());
    Side {
        outcome: outcome.outcome,
        error_class: text(&outcome.error_class),
        error_code: text(&outcome.error_code),
        route: text(&outcome.route),
        route_version: text(&outcome.route_version),
        not_called: result.as_ref().is_some_and(has_not_called),
        result: match (result, &outcome.result) {
            (Some(result), _) => xxh3_64(comparable(result).as_bytes()),
            (None, Some(text)) => xxh3_64(text.as_bytes()),
            (None, None) => 0,
        },
    }
}

/// Whether a handler says so in this result, of one handler or of several.
fn has_not_called(result: &Value) -> bool {
    let said = |of: &Value| of["notCalled"] == true;
    said(result) || result["results"].as_object().is_some_and(|several| several.values().any(said))
}

/// The result without what every run has its own of.
fn comparable(mut result: Value) -> String {
    fn strip(value: &mut Value) {
        if let Value::Object(members) = value {
            members.remove("workflowId");
            members.values_mut().for_each(strip);
        }
    }
    strip(&mut result);
    result.to_string()
}

fn judge<'a>(pairs: impl Iterator<Item = ((&'a TopicPartition, i64), Pair)>, extent: Extent) -> Comparison {
    let mut comparison = Comparison::default();
    for ((source, offset), Pair { recorded, replayed }) in pairs {
        if replayed.is_none() && extent == Extent::Stopped {
            comparison.not_reached += 1;
            continue;
        }
        if let Some(side) = &replayed {
            *comparison.outcomes.entry(name(side.outcome)).or_default() += 1;
        }
        if let (Some(recorded), Some(replayed)) = (&recorded, &replayed)
            && replayed.not_called
            && recorded.route == replayed.route
        {
            comparison.not_called += 1;
            continue;
        }
        let what = match (&recorded, &replayed) {
            (Some(recorded), Some(replayed)) => differing(recorded, replayed),
            (Some(_), None) => vec!["recorded only"],
            (None, Some(_)) => vec!["replayed only"],
            (None, None) => vec!["undecided"],
        };
        let count = match what.first() {
            None => &mut comparison.same,
            Some(&"recorded only") => &mut comparison.recorded_only,
            Some(&"replayed only") => &mut comparison.replayed_only,
            Some(&"undecided") => &mut comparison.undecided,
            Some(_) => &mut comparison.different,
        };
        *count += 1;
        let failed = replayed.as_ref().is_some_and(|side| side.outcome == OutcomeKind::DeadLettered);
        comparison.same_failed += u64::from(failed && what.is_empty());
        if !what.is_empty() && comparison.differences.len() < MAX_SHOWN {
            let (topic, partition) = (source.topic.to_string(), source.partition);
            comparison.differences.push(Difference { topic, partition, offset, what, recorded, replayed });
        }
    }
    comparison
}

fn differing(recorded: &Side, replayed: &Side) -> Vec<&'static str> {
    let error = |side: &Side| (side.error_class.clone(), side.error_code.clone());
    [
        ("outcome", recorded.outcome != replayed.outcome),
        ("error", error(recorded) != error(replayed)),
        ("route", recorded.route != replayed.route),
        ("result", recorded.result != replayed.result),
    ]
    .into_iter()
    .filter_map(|(what, differs)| differs.then_some(what))
    .collect()
}

/// The kind as its record names it.
fn name(kind: OutcomeKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::sample;

    fn pair(change: impl FnOnce(&mut Side)) -> Pair {
        let recorded = side(&sample::outcome());
        let mut replayed = recorded.clone();
        change(&mut replayed);
        Pair { recorded: Some(recorded), replayed: Some(replayed) }
    }

    fn failed(change: impl FnOnce(&mut Side)) -> Pair {
        let Pair { recorded, .. } = pair(|_| {});
        let recorded = Side { outcome: OutcomeKind::DeadLettered, ..recorded.unwrap() };
        let mut replayed = recorded.clone();
        change(&mut replayed);
        Pair { recorded: Some(recorded), replayed: Some(replayed) }
    }

    #[test]
    fn what_differs_is_named_and_counted() {
        let source = TopicPartition { topic: "t".into(), partition: 0 };
        let pairs = [
            pair(|_| {}),
            pair(|side| side.route_version = Some("other".to_owned())),
            failed(|_| {}),
            failed(|side| side.error_code = Some("other".to_owned())),
            pair(|side| side.route = Some("other".to_owned())),
            pair(|side| side.result += 1),
            pair(|side| (side.result, side.not_called) = (0, true)),
            pair(|side| (side.route, side.not_called) = (Some("other".to_owned()), true)),
            Pair { replayed: None, ..pair(|_| {}) },
            Pair { recorded: None, ..pair(|_| {}) },
            Pair::default(),
        ];
        let comparison = judge((0..).zip(pairs).map(|(offset, pair)| ((&source, offset), pair)), Extent::Through);
        assert_eq!((comparison.same, comparison.different), (3, 4), "a version alone is none");
        assert_eq!(comparison.not_called, 1);
        assert_eq!(comparison.same_failed, 1);
        assert_eq!((comparison.recorded_only, comparison.replayed_only, comparison.undecided), (1, 1, 1));
        let what: Vec<_> =
            comparison.differences.iter().map(|difference| (difference.offset, &*difference.what)).collect();
        assert_eq!(what[..3], [(3, &["error"][..]), (4, &["route"][..]), (5, &["result"][..])]);
        assert!(!comparison.is_clean());
    }

    #[test]
    fn what_a_replay_that_was_stopped_has_not_reached_differs_in_nothing() {
        let source = TopicPartition { topic: "t".into(), partition: 0 };
        let pairs = [pair(|_| {}), Pair { replayed: None, ..pair(|_| {}) }, Pair::default()];
        let comparison = judge((0..).zip(pairs).map(|(offset, pair)| ((&source, offset), pair)), Extent::Stopped);
        assert_eq!((comparison.same, comparison.not_reached), (1, 2));
        assert_eq!((comparison.recorded_only, comparison.undecided, comparison.differences.len()), (0, 0, 0));
        assert!(!comparison.is_clean());
    }

    #[test]
    fn whether_an_endpoint_was_called_is_in_the_result() {
        for (result, expected) in [
            (r#"{"message":"m","notCalled":true,"success":true}"#, true),
            (r#"{"success":true,"results":{"log":{"success":true},"http:e":{"notCalled":true}}}"#, true),
            (r#"{"message":"notCalled","success":true}"#, false),
        ] {
            assert_eq!(has_not_called(&serde_json::from_str(result).unwrap()), expected, "{result}");
        }
    }

    #[test]
    fn every_run_has_workflow_ids_of_its_own() {
        let of = |id: &str| json!({"results": {"h": {"workflowId": id}}, "success": true, "workflowId": id});
        assert_eq!(comparable(of("a")), comparable(of("b")));
        assert_ne!(comparable(json!({"success": true})), comparable(json!({"success": false})));
    }
}
