//! `coafi event show`: what happened to one event.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::output::cell;
use super::{Answer, Failure};
use crate::bitt::{Heard, Replayed, Story, StoryStep, Trail};
use crate::schema::Codec;
use crate::schema::payloads::{Outcome, OutcomeKind, Receipt};

/// What happened to an event, step by step, from the audit records. Replays of it are told apart, each under its name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi event show main@0af7651916cd43dd8448eb211c80319cb7ad6b71
  coafi event show main@0af7651916cd43dd8448eb211c80319cb7ad6b71 --output json | jq '.steps[].type'
  coafi event show 4711 --source /orders

Exit codes: 0 found, 1 no audit record has this id, or it was received and is not decided yet, or only replays have handled
it, 2 events of several sources have it, 3 Kafka or the schema registry does not answer.")]
pub(crate) struct Show {
    /// CloudEvents id of the event.
    pub id: String,
    /// CloudEvents source, where events of several sources have the id.
    #[arg(long)]
    pub source: Option<String>,
}

impl Show {
    /// `heard` is told how far reading has come, and what is passed over. The answer is no unless the event has an outcome.
    ///
    /// # Errors
    /// The topic cannot be read or decoded ([`crate::bitt::TrailError`]); several events have the id.
    pub(crate) async fn run(&self, trail: &Trail, codec: &Codec, heard: impl Fn(Heard)) -> anyhow::Result<Answer> {
        let outcomes = trail.outcomes(&self.id, codec, &heard).await?;
        let was_put_away = |outcome: &Outcome<'_>| {
            matches!(outcome.outcome, OutcomeKind::DeadLettered | OutcomeKind::Unprocessed) || outcome.redrive > 0
        };
        let interventions = match outcomes.iter().any(was_put_away) {
            true => trail.interventions(&self.id, codec, &heard).await?,
            false => Vec::new(),
        };
        let stories = Story::by_source(outcomes, &interventions);
        if let Some(story) = self.only(&stories)? {
            return Ok(Answer { json: serde_json::to_value(story)?, text: text(story), yes: story.outcome.is_some() });
        }
        // Receipts name no source, so they answer only for an id that no other source has used.
        let receipts = match stories.is_empty() {
            true => trail.receipts(&self.id, codec, &heard).await?,
            false => Vec::new(),
        };
        Ok(self.undecided(receipts))
    }

    fn only<'a>(&self, stories: &'a [Story]) -> Result<Option<&'a Story>, Failure> {
        let is_asked_for = |story: &&Story| self.source.is_none() || story.source == self.source;
        let mut asked_for = stories.iter().filter(is_asked_for);
        let first = asked_for.next();
        if asked_for.next().is_some() {
            let sources: Vec<_> = stories.iter().map(|story| story.source.as_deref().unwrap_or("(none)")).collect();
            let message =
                format!("events of {} sources have the id {:?}: {}", sources.len(), self.id, sources.join(", "));
            return Err(Failure::usage(message).next("name one of them with --source"));
        }
        Ok(first)
    }

    fn undecided(&self, mut receipts: Vec<Receipt<'_>>) -> Answer {
        receipts.sort_by_key(|receipt| receipt.received_at);
        let Some(last) = receipts.last() else {
            let of = self.source.as_ref().map_or(String::new(), |source| format!(" of source {source:?}"));
            let text = format!("no audit record of event {:?}{of} (yet)", self.id);
            return Answer { json: Value::Null, text, yes: false };
        };
        let at = jiff::Timestamp::from_millisecond(last.received_at).unwrap_or_default().to_string();
        let place = format!("{}[{}]@{}..{}", last.topic, last.partition, last.from_offset, last.to_offset);
        let text = format!(
            "event {:?} was received at {at} by {} ({place}), and is not decided yet: `coafi group lag` says what is left to do",
            self.id, last.worker_id
        );
        let json = json!({"eventId": self.id, "receivedAt": at, "worker": last.worker_id, "place": place,
                          "receipts": receipts.len(), "outcome": null});
        Answer { json, text, yes: false }
    }
}

fn text(story: &Story) -> String {
    let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), cell);
    let outcome = story.outcome.map_or_else(|| "- (only replays have handled it)".to_owned(), name);
    let mut text = format!(
        "event       {}\ntype        {}\nsource      {}\ncorrelation {}\noutcome     {outcome}",
        cell(&story.event_id),
        or_none(&story.event_type),
        or_none(&story.source),
        or_none(&story.correlation_id),
    );
    if !story.steps.is_empty() {
        text += &format!("\n\n{}", table(&story.steps));
    }
    for replay in &story.replays {
        let Replayed { name: replayed, group, outcome, steps } = replay;
        text += &format!("\n\nreplay {replayed} (group {group}): {}\n{}", name(*outcome), table(steps));
    }
    text
}

fn table(steps: &[StoryStep]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["time", "attempt", "record", "step", "detail"]);
    for step in steps {
        let detail = if step.detail.as_object().is_some_and(serde_json::Map::is_empty) {
            String::new()
        } else {
            step.detail.to_string()
        };
        let row = [step.at.clone(), step.attempt.to_string(), step.place.clone(), step.kind.clone(), detail];
        table.add_row(row.map(|text| cell(&text)));
    }
    table
}

/// The kind as its record names it.
fn name(outcome: OutcomeKind) -> String {
    serde_json::to_value(outcome).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::sample;

    fn story(source: &str) -> Story {
        let steps = Vec::new();
        let (event_type, correlation_id, causation_id, utids) = (None, None, None, Vec::new());
        let (event_id, source, outcome) = ("7".to_owned(), Some(source.to_owned()), Some(OutcomeKind::Processed));
        let replays = Vec::new();
        Story { event_id, event_type, source, correlation_id, causation_id, utids, outcome, steps, replays }
    }

    fn show(source: Option<&str>) -> Show {
        Show { id: "7".to_owned(), source: source.map(str::to_owned) }
    }

    #[test]
    fn an_id_that_several_sources_have_needs_one() {
        let stories = [story("/a"), story("/b")];
        let error = show(None).only(&stories).unwrap_err().to_string();
        assert!(error.contains("events of 2 sources") && error.contains("/a, /b"), "{error}");
        assert_eq!(show(Some("/b")).only(&stories).unwrap(), Some(&stories[1]));
        assert_eq!(show(Some("/c")).only(&stories).unwrap(), None);
        assert_eq!(show(None).only(&stories[..1]).unwrap(), Some(&stories[0]));
    }

    #[test]
    fn an_event_that_has_only_a_receipt_is_not_decided_yet() {
        let answer = show(None).undecided(vec![sample::receipt()]);
        assert!(!answer.yes && answer.text.contains("not decided yet"), "{}", answer.text);
        assert!(answer.json["receivedAt"].is_string() && answer.json["outcome"].is_null(), "{}", answer.json);
        let unknown = show(Some("/a")).undecided(Vec::new());
        assert!(unknown.json.is_null() && unknown.text.contains("no audit record of event \"7\" of source"));
    }

    #[test]
    fn replays_follow_what_happened_each_under_its_name() {
        let replay = |name: &str| Replayed {
            name: name.to_owned(),
            group: format!("g.replay.{name}"),
            outcome: OutcomeKind::Filtered,
            steps: Vec::new(),
        };
        let story = Story { replays: vec![replay("one"), replay("two")], ..story("/a") };
        let told = text(&story);
        let at = |part: &str| told.find(part).unwrap_or_else(|| panic!("{part}: {told}"));
        assert!(at("outcome     processed") < at("replay one (group g.replay.one): filtered"), "{told}");
        assert!(at("replay one") < at("replay two"), "{told}");
        assert!(text(&Story { outcome: None, ..story }).contains("only replays have handled it"));
    }
}
