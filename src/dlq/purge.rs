//! Gives letters up: from then on they are hidden, as if they had been deleted.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lookback;
use super::order::{Actor, Cluster, Heard, Meant};
use super::redrive::{say_undecided, take_over};
use super::selection::{Letters, Next};
use super::{Letter, RedriveError, Reported, Standing, States};
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
    /// The group whose outcomes count, and where it stood before anything else was asked.
    pub group: &'a Standing,
    /// Those that were sent again longer ago than this and whose outcome has not come; `None`: those that wait.
    pub lost: Option<Duration>,
}

impl Purge<'_> {
    /// How many letters would be given up; nothing is done with any.
    ///
    /// # Errors
    /// See [`RedriveError`].
    pub async fn rehearse(&self, mut heard: impl FnMut(Heard)) -> Result<u64, RedriveError> {
        let Self { cluster, meant, group, .. } = self;
        let group = self.lost.is_some().then_some(&*group.group);
        let states = lookback::states_now(cluster, meant.topic, group, &mut heard).await?;
        let mut letters = Letters::read(&cluster.reader, meant.stretches, meant.selection, &cluster.codec)?;
        let mut count = 0;
        loop {
            match letters.next(TURN).await? {
                Next::End => break,
                Next::Letter(letter) => match self.judged(&letter, &states) {
                    Ok(_) => count += 1,
                    Err(left) => left.into_iter().for_each(|left| heard(Heard::Ended(Box::new(left)))),
                },
                Next::Passed => {}
            }
            heard(Heard::Progress { read: letters.progress(), sent: count, awaited: 0 });
        }
        say_undecided(&letters, &mut heard);
        Ok(count)
    }

    /// How many letters were given up. Those that have been acted on are left, and what was sent and has no outcome yet, unless
    /// it is lost.
    ///
    /// # Errors
    /// See [`RedriveError`]; what was given up by then is in the states.
    pub async fn run(&self, stop: &CancellationToken, mut heard: impl FnMut(Heard)) -> Result<u64, RedriveError> {
        let Self { cluster, meant, .. } = self;
        let interventions = Interventions::connect(cluster.audit_topic, &cluster.codec).await;
        let interventions = interventions.map_err(RedriveError::Schema)?;
        let (writer, mut states) = take_over(cluster, meant.topic, &self.actor.by, interventions).await?;
        if self.lost.is_some() {
            let outcomes = lookback::outcomes(cluster, &states, &self.group.group, &mut heard).await?;
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
                Next::Letter(letter) => match self.judged(&letter, &states) {
                    Ok(given_up) => batch.push((*letter, given_up)),
                    Err(left) => left.into_iter().for_each(|left| heard(Heard::Ended(Box::new(left)))),
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

    /// Its state once it is given up; or that it is left, and what there is to say of that.
    fn judged(&self, letter: &Letter, states: &States) -> Result<LetterState, Option<Reported>> {
        let refused = |why| Some(Reported::refused(letter, &why));
        let state = states.of(letter).map_err(refused)?;
        let is_taken = match (self.lost, state) {
            (None, state) => state.is_none(),
            (Some(_), None) => false,
            (Some(after), Some(state)) => self.group.is_lost(state, after, unix_ms()).map_err(refused)?,
        };
        match state {
            _ if is_taken => Ok(self.state(letter, state)),
            // What is purged already is what was asked for.
            Some(state) if self.meant.is_named && state.status != LetterStatus::Purged => {
                Err(Some(Reported::left(letter, state)))
            }
            _ => Err(None),
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
