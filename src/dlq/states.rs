//! What was done with letters: the newest state of each, read from the compacted topic.

use std::collections::{BTreeMap, BTreeSet};

use super::{Letter, LetterId, Refusal, STATE_TOPIC};
use crate::dispatch::Failure;
use crate::engine::Class;
use crate::event::Record;
use crate::kafka::scan::{Reader, ScanError, Wanted};
use crate::schema::Codec;
use crate::schema::payloads::{Claim, LetterState, LetterStatus, Outcome, Place};

/// How far the clocks of those who put away and those who redrive may be apart.
const MAX_SKEW_MS: i64 = 3_600_000;
/// Of an error's text in a state.
const MAX_ERROR_BYTES: usize = 1_024;

/// States of letters, by letter. Held in memory: as many as letters were acted on, a few hundred bytes each.
#[derive(Debug, Default)]
pub struct States {
    by_letter: BTreeMap<LetterId, LetterState>,
    /// Letters whose newest state is none of ours, and the offset of it.
    unknown: BTreeMap<LetterId, i64>,
    /// The last claim of each topic.
    claims: BTreeMap<String, Claim>,
    /// Letters that were under way when the states were read and whose outcome has been seen since.
    settled_now: BTreeSet<LetterId>,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("record {offset} of {STATE_TOPIC} cannot be decoded: {failure}")]
    Undecodable { offset: i64, failure: Failure },
}

impl States {
    /// The states of the letters of these topics, as they are now.
    ///
    /// # Errors
    /// The topic cannot be read, or the schema registry does not answer.
    pub async fn read(reader: &Reader, codec: &Codec, topics: &BTreeSet<String>) -> Result<Self, StateError> {
        let mut states = Self::default();
        let stretches = reader.resolve(Wanted::all(STATE_TOPIC)).await?;
        let mut records = reader.read(&stretches)?;
        while let Some(record) = records.next().await? {
            states.apply(&record, codec, topics).await?;
        }
        Ok(states)
    }

    async fn apply(&mut self, record: &Record, codec: &Codec, topics: &BTreeSet<String>) -> Result<(), StateError> {
        let Some(key) = record.key().and_then(|key| std::str::from_utf8(key).ok()) else { return Ok(()) };
        let undecodable = |failure| StateError::Undecodable { offset: record.offset().0, failure };
        let Ok(letter) = key.parse::<LetterId>() else {
            // A topic's name: its claim. One that is none of ours is nobody's.
            if let (Some(value), true) = (record.value(), topics.contains(key))
                && let Ok(claim) = ours(codec.decode_avro(value).await).map_err(undecodable)?
            {
                self.claims.insert(key.to_owned(), claim);
            }
            return Ok(());
        };
        if !topics.contains(&*letter.topic) {
            return Ok(());
        }
        self.by_letter.remove(&letter);
        self.unknown.remove(&letter);
        if let Some(value) = record.value() {
            match ours(codec.decode_avro(value).await).map_err(undecodable)? {
                Ok(state) => drop(self.by_letter.insert(letter, state)),
                Err(_) => drop(self.unknown.insert(letter, record.offset().0)),
            }
        }
        Ok(())
    }

    /// What was done with the letter. A state that names another event, or is clearly older than the letter, is that of another
    /// one: the topic was made anew, and its offsets began again. A letter without an id, or whose id was left out because of
    /// its size, is told from the one before by its time alone.
    ///
    /// # Errors
    /// It is not known, because somebody else wrote to the states: the letter is to be left alone.
    pub fn of(&self, letter: &Letter) -> Result<Option<&LetterState>, Refusal> {
        let id = letter.id();
        if let Some(offset) = self.unknown.get(&id) {
            return Err(Refusal::StateUnknown { offset: *offset });
        }
        let written = letter.record.timestamp_ms().unwrap_or(i64::MIN);
        let is_newer = |state: &&LetterState| written <= state.since.saturating_add(MAX_SKEW_MS);
        let is_same = |state: &&LetterState| match (&letter.event_id, &state.event_id) {
            (Some(id), Some(of_state)) => id == of_state,
            _ => true,
        };
        Ok(self.by_letter.get(&id).filter(is_newer).filter(is_same))
    }

    /// Whether the letter's outcome was seen by this command.
    pub(super) fn was_settled_now(&self, letter: &LetterId) -> bool {
        self.settled_now.contains(letter)
    }

    /// The state of a letter whose outcome has been seen.
    pub(super) fn settle(&mut self, letter: &LetterId, outcome: &Outcome<'_>) -> Option<LetterState> {
        let state = self.by_letter.get_mut(letter)?;
        state.status = LetterStatus::Redriven;
        state.outcome = Some(outcome.outcome.name().to_owned());
        state.error_class = outcome.error_class.as_deref().map(str::to_owned);
        state.error =
            outcome.error.as_deref().map(|error| error[..error.floor_char_boundary(MAX_ERROR_BYTES)].to_owned());
        state.ended_at = Some(outcome.ended_at);
        self.settled_now.insert(letter.clone());
        Some(state.clone())
    }

    /// Gives the state that stood there before, whichever letter it was of.
    pub(super) fn insert(&mut self, letter: LetterId, state: LetterState) -> Option<LetterState> {
        self.by_letter.insert(letter, state)
    }

    /// Who said last that they act on this topic's letters.
    #[must_use]
    pub fn claim(&self, topic: &str) -> Option<&Claim> {
        self.claims.get(topic)
    }

    /// Letters that were sent and whose outcome is not known, by where they stand now.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (&LetterId, &LetterState, &Place<'static>)> {
        let redriving = self.by_letter.iter().filter(|(_, state)| state.status == LetterStatus::Redriving);
        redriving.filter_map(|(letter, state)| Some((letter, state, state.sent_to.as_ref()?)))
    }
}

/// `Ok(Err(_))`: somebody else wrote it, who may do so as long as the cluster lets them. `Err(_)`: what it is cannot be told.
pub(super) fn ours<T>(decoded: Result<T, Failure>) -> Result<Result<T, Failure>, Failure> {
    match decoded {
        Err(failure) if matches!(failure.class, Class::Systemic(_)) => Err(failure),
        decoded => Ok(decoded),
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{OURS, record};
    use super::*;

    /// What [`States::of`] gives for a letter that was written at 1,000 ms, of a state with this event id from then.
    fn has_state(letter_headers: &[(&str, &str)], state_id: Option<&str>, since: i64) -> bool {
        let letter = Letter::read(record(Some(b"v"), letter_headers));
        let mut states = States::default();
        states.insert(letter.id(), LetterState { event_id: state_id.map(str::to_owned), ..sample(since) });
        states.of(&letter).unwrap().is_some()
    }

    fn sample(since: i64) -> LetterState {
        LetterState {
            topic: "coafi.git.dlq".to_owned(),
            partition: 3,
            offset: 42,
            status: LetterStatus::Purged,
            by: "ada".to_owned(),
            reason: None,
            since,
            redrive: 0,
            sent_to: None,
            audit: None,
            event_id: None,
            outcome: None,
            error_class: None,
            error: None,
            ended_at: None,
        }
    }

    #[test]
    fn a_state_is_of_the_letter_that_has_its_event_and_is_not_younger() {
        let no_event = [("x", "y")];
        for (headers, state_id, since, expected) in [
            (&OURS[..], Some("1"), 2_000, true),
            // The topic was made anew, within the hour: another letter stands at the same offset.
            (&OURS, Some("another"), 2_000, false),
            (&OURS, Some("1"), 1_000 - MAX_SKEW_MS, true),
            (&OURS, Some("1"), 999 - MAX_SKEW_MS, false),
            // Whoever has no id, or whose id was left out, is known by time alone.
            (&OURS, None, 2_000, true),
            (&no_event, Some("1"), 2_000, true),
            (&no_event, None, 2_000, true),
        ] {
            assert_eq!(has_state(headers, state_id, since), expected, "{headers:?} {state_id:?} {since}");
        }
    }
}
