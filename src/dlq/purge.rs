//! Gives letters up: from then on they are hidden, as if they had been deleted.

use tokio_util::sync::CancellationToken;

use super::order::{Actor, Cluster, Heard, Meant};
use super::redrive::{say_undecided, take_over};
use super::selection::{Letters, Next};
use super::{Letter, RedriveError, Reported};
use crate::bitt::Interventions;
use crate::runtime::unix_ms;
use crate::schema::payloads::{InterventionKind, LetterState, LetterStatus};

/// Letters of one transaction.
const BATCH_MAX: usize = 500;
const TURN: std::time::Duration = std::time::Duration::from_millis(50);

/// Gives up letters of one topic.
#[derive(Debug)]
pub struct Purge<'a> {
    pub cluster: &'a Cluster,
    pub actor: &'a Actor,
    pub meant: Meant<'a>,
}

impl Purge<'_> {
    /// How many letters were given up. Those that have been acted on, and what was sent and has no outcome yet, are left.
    ///
    /// # Errors
    /// See [`RedriveError`]; what was given up by then is in the states.
    pub async fn run(self, stop: &CancellationToken, mut heard: impl FnMut(Heard)) -> Result<u64, RedriveError> {
        let Self { cluster, meant, .. } = &self;
        let interventions = Interventions::connect(cluster.audit_topic, &cluster.codec).await;
        let interventions = interventions.map_err(RedriveError::Schema)?;
        let (writer, states) = take_over(cluster, meant.topic, &self.actor.by, interventions).await?;
        let mut letters = Letters::read(&cluster.reader, meant.stretches, meant.selection, &cluster.codec)?;
        let (mut batch, mut purged, mut all_read) = (Vec::new(), 0, false);
        while !all_read && !stop.is_cancelled() {
            match letters.next(TURN).await? {
                Next::End => all_read = true,
                Next::Letter(letter) => match states.of(&letter) {
                    Ok(None) => batch.push(*letter),
                    Ok(Some(_)) => {}
                    Err(why) => heard(Heard::Ended(Box::new(Reported::refused(&letter, &why)))),
                },
                Next::Passed => {}
            }
            if batch.len() >= BATCH_MAX || all_read && !batch.is_empty() {
                let given_up: Vec<_> = batch.iter().map(|letter| self.state(letter)).collect();
                let audits = batch.iter().zip(&given_up);
                let audits = audits
                    .map(|(letter, state)| cluster.intervention(letter, state, InterventionKind::EventPurged))
                    .collect();
                writer.write(given_up, audits).await?;
                purged += batch.len() as u64;
                batch.clear();
            }
            heard(Heard::Progress { read: letters.progress(), sent: purged, awaited: 0 });
        }
        say_undecided(&letters, &mut heard);
        Ok(purged)
    }

    fn state(&self, letter: &Letter) -> LetterState {
        let id = letter.id();
        LetterState {
            topic: id.topic.to_string(),
            partition: id.partition,
            offset: id.offset,
            status: LetterStatus::Purged,
            by: self.actor.by.clone(),
            reason: self.actor.reason.clone(),
            since: unix_ms(),
            redrive: 0,
            sent_to: None,
            audit: None,
            event_id: letter.event_id.clone(),
            outcome: None,
            error_class: None,
            error: None,
            ended_at: None,
        }
    }
}
