//! What became of each letter that a command acted on.

use serde::Serialize;

use super::{Letter, LetterId, Refusal};
use crate::dispatch::{ConsumedTopic, dead_letter_topic};
use crate::schema::payloads::{LetterState, LetterStatus, Outcome, OutcomeKind};

/// One letter and its fate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    #[serde(serialize_with = "as_text")]
    pub letter: LetterId,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    /// The number of the redrive; 0 if there is none.
    pub redrive: i32,
    /// `topic[partition]@offset` of the record that was sent.
    pub sent_to: Option<String>,
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Fate {
    /// Its outcome record has been read.
    Outcome {
        outcome: OutcomeKind,
        error_class: Option<String>,
        error: Option<String>,
        /// Where it lies now, if it was put away again.
        put_away_in: Option<String>,
    },
    /// Sent; nobody waited for an outcome.
    Sent,
    /// Sent, and no outcome came in time.
    NoOutcome {
        /// The last thing that was heard of it.
        last: Option<String>,
    },
    /// Not sent; it stays as it is.
    Refused { reason: String },
    /// A dry run: it would be sent to this topic.
    WouldBeSent { topic: String },
}

impl Fate {
    /// Whether it is what was wanted.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Outcome { outcome: OutcomeKind::Processed, .. } | Self::WouldBeSent { .. })
    }

    /// One word for tables and counts.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Outcome { outcome, .. } => outcome.name(),
            Self::Sent => "sent, outcome unknown",
            Self::NoOutcome { .. } => "no outcome",
            Self::Refused { .. } => "refused",
            Self::WouldBeSent { .. } => "would be sent",
        }
    }

    /// More about it, for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Outcome { error_class, error, put_away_in, .. } => {
                let class = error_class.as_ref().map(|class| format!("{class}: "));
                let place = put_away_in.as_ref().map(|topic| format!(" (now in {topic})"));
                [class, error.clone(), place].into_iter().flatten().collect()
            }
            Self::NoOutcome { last } => last.clone().unwrap_or_default(),
            Self::Refused { reason } => reason.clone(),
            Self::WouldBeSent { topic } => topic.clone(),
            Self::Sent => String::new(),
        }
    }

    pub(super) fn of_outcome(outcome: &Outcome<'_>) -> Self {
        let base = ConsumedTopic::parse(&outcome.topic).base;
        let put_away_in = match outcome.outcome {
            OutcomeKind::DeadLettered => Some(dead_letter_topic(base)),
            _ => None,
        };
        Self::Outcome {
            outcome: outcome.outcome,
            error_class: outcome.error_class.as_deref().map(str::to_owned),
            error: outcome.error.as_deref().map(str::to_owned),
            put_away_in,
        }
    }

    /// Of a letter whose outcome is in its state.
    pub(super) fn of_state(state: &LetterState) -> Option<Self> {
        let outcome = OutcomeKind::of_name(state.outcome.as_deref()?)?;
        let base = state.sent_to.as_ref().map(|place| ConsumedTopic::parse(&place.topic).base);
        let put_away_in = base.filter(|_| outcome == OutcomeKind::DeadLettered).map(dead_letter_topic);
        Some(Self::Outcome { outcome, error_class: state.error_class.clone(), error: state.error.clone(), put_away_in })
    }
}

impl Reported {
    pub(super) fn of(letter: &Letter, redrive: i32, fate: Fate) -> Self {
        Self {
            letter: letter.id(),
            event_id: letter.event_id.clone(),
            event_type: letter.event_type.clone(),
            redrive,
            sent_to: None,
            fate,
        }
    }

    pub(super) fn refused(letter: &Letter, why: &Refusal) -> Self {
        Self::of(letter, 0, Fate::Refused { reason: why.to_string() })
    }

    /// Of a letter that has come to its end under an earlier command, or to none yet, for somebody who named it.
    pub(super) fn before(letter: &Letter, state: &LetterState) -> Self {
        match Fate::of_state(state) {
            Some(fate) if fate.is_good() => Self::at(letter, state, fate),
            _ => Self::left(letter, state),
        }
    }

    /// Of a letter that is left as it is, for what was done with it before.
    pub(super) fn left(letter: &Letter, state: &LetterState) -> Self {
        Self::refused(letter, &Refusal::ActedOn { what: told(state) })
    }

    /// Of a letter that was sent as its state says.
    pub(super) fn at(letter: &Letter, state: &LetterState, fate: Fate) -> Self {
        let sent_to = state.sent_to.as_ref().map(ToString::to_string);
        Self { sent_to, ..Self::of(letter, state.redrive, fate) }
    }
}

/// What was done with a letter, for people.
fn told(state: &LetterState) -> String {
    let since = jiff::Timestamp::from_millisecond(state.since).unwrap_or_default();
    let (by, number) = (&state.by, state.redrive);
    match state.status {
        LetterStatus::Purged => format!("purged already, by {by} at {since}"),
        LetterStatus::Redriving => {
            format!("redriving: {by} sent it under number {number} at {since}, and it has no outcome yet")
        }
        LetterStatus::Redriven => {
            let outcome = state.outcome.as_deref().unwrap_or("without an outcome");
            let put_away = Fate::of_state(state).map(|fate| fate.detail()).filter(|detail| !detail.is_empty());
            let detail = put_away.map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("redriven already, by {by} under number {number} at {since}, and came out {outcome}{detail}")
        }
    }
}

fn as_text<S: serde::Serializer>(letter: &LetterId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(letter)
}
