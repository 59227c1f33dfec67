//! Gives letters up: from then on they are hidden, as if they had been deleted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lookback;
use super::order::{Actor, Cluster, Heard, Meant, is_lost};
use super::redrive::{say_undecided, take_over};
use super::selection::{Letters, Next};
use super::{Letter, RedriveError, Reported};
use crate::bitt::Interventions;
use crate::runtime::unix_ms;
use crate::schema::payloads::{InterventionKind, LetterState, LetterStatus};

/// Letters of one transaction.
const BATCH_MAX: usize = 500;
const TURN: Duration = Duration::from_millis(50);

/// Gives up letters of one topic.
#[derive(Debug)]
pub struct Purge<'a> {
    pub cluster: &'a Cluster,
    pub actor: &'a Actor,
    pub meant: Meant<'a>,
    /// Those that were sent again longer ago than this and whose outcome has not come; `None`: those that wait.
    pub lost: Option<Duration>,
}

impl Purge<'_> {
    /// How many letters were given up. Those that have been acted on are left, and what was sent and has no outcome yet, unless
    /// it is lost.
    ///
    /// # Errors
    /// See [`RedriveError`]; what was given up by then is in the states.
    pub async fn run(self, stop: &CancellationToken, mut heard: impl FnMut(Heard)) -> Result<u64, RedriveError> {
        let Self { cluster, meant, .. } = &self;
        let interventions = Interventions::connect(cluster.audit_topic, &cluster.codec).await;
        let interventions = interventions.map_err(RedriveError::Schema)?;
        let (writer, mut states) = take_over(cluster, meant.topic, &self.actor.by, interventions).await?;
        if self.lost.is_some() {
            let outcomes = lookback::outcomes(cluster, &states).await?;
            let settled: Vec<_> =
                outcomes.iter().filter_map(|(letter, outcome)| states.settle(letter, outcome)).collect();
            for batch in settled.chunks(BATCH_MAX) {
                writer.write(batch.to_vec(), Vec::new()).await?;
            }
        }
        let mut letters = Letters::read(&cluster.reader, meant.stretches, meant.selection, &cluster.codec)?;
        let (mut batch, mut purged, mut all_read) = (Vec::new(), 0, false);
        while !all_read && !stop.is_cancelled() {
            match letters.next(TURN).await? {
                Next::End => all_read = true,
                Next::Letter(letter) => match states.of(&letter) {
                    Ok(state) if self.takes(state) => {
                        let given_up = self.state(&letter, state);
                        batch.push((*letter, given_up));
                    }
                    Ok(_) => {}
                    Err(why) => heard(Heard::Ended(Box::new(Reported::refused(&letter, &why)))),
                },
                Next::Passed => {}
            }
            if batch.len() >= BATCH_MAX || all_read && !batch.is_empty() {
                let audits = batch
                    .iter()
                    .map(|(letter, state)| cluster.intervention(letter, state, InterventionKind::EventPurged))
                    .collect();
                purged += batch.len() as u64;
                let given_up = std::mem::take(&mut batch).into_iter().map(|(_, state)| state).collect();
                writer.write(given_up, audits).await?;
            }
            heard(Heard::Progress { read: letters.progress(), sent: purged, awaited: 0 });
        }
        say_undecided(&letters, &mut heard);
        Ok(purged)
    }

    fn takes(&self, state: Option<&LetterState>) -> bool {
        match self.lost {
            None => state.is_none(),
            Some(after) => state.is_some_and(|state| is_lost(state, after, unix_ms())),
        }
    }

    fn state(&self, letter: &Letter, before: Option<&LetterState>) -> LetterState {
        let id = letter.id();
        LetterState {
            topic: id.topic.to_string(),
            partition: id.partition,
            offset: id.offset,
            status: LetterStatus::Purged,
            by: self.actor.by.clone(),
            reason: self.actor.reason.clone(),
            since: unix_ms(),
            redrive: before.map_or(0, |before| before.redrive),
            sent_to: before.and_then(|before| before.sent_to.clone()),
            audit: before.and_then(|before| before.audit.clone()),
            event_id: letter.event_id.clone(),
            outcome: None,
            error_class: None,
            error: None,
            ended_at: None,
        }
    }
}
