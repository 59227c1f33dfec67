//! Sends letters again and waits for what comes of them.
//!
//! One letter: it is read, matched, made into its original, sent in a transaction with its audit record and its state
//! `redriving`, and awaited; its outcome is read from the audit topic and its state becomes `redriven`. What the command does
//! not live to see stays `redriving`: the next one finds the outcome behind the audit record that the state names.
//!
//! Bounded: a batch of letters is held to be sent and `awaited_max` are awaited, however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::lookback;
use super::order::{Cluster, Heard, Meant, Order, Sends};
use super::running::{self, Running};
use super::selection::{Letters, LettersError, Next};
use super::watch::{Watch, WatchError};
use super::writer::{WriteError, Writer};
use super::{Fate, Letter, Refusal, Reported, StateError, States};
use crate::bitt::{Interventions, outcome_key};
use crate::dispatch::Failure;
use crate::kafka::scan::ScanError;
use crate::runtime::unix_ms;
use crate::schema::payloads::{Claim, LetterState};

/// How long a record is waited for at a time.
const TURN: Duration = Duration::from_millis(50);
/// How long another command's open transaction on the states is waited for: longer than it may last.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks: nobody tells when it is over.
const CLAIM_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Letters(#[from] LettersError),
    #[error(transparent)]
    States(#[from] StateError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("the schema of audit records: {0}")]
    Schema(Failure),
    #[error("the states of {topic} could not be read up to now: another command's transaction is open")]
    Unsettled { topic: String },
}

/// Sends letters of one topic again.
#[derive(Debug)]
pub struct Redrive<'a, F> {
    cluster: &'a Cluster,
    order: &'a Order,
    meant: Meant<'a>,
    heard: F,
}

impl<'a, F: FnMut(Heard)> Redrive<'a, F> {
    pub fn new(cluster: &'a Cluster, order: &'a Order, meant: Meant<'a>, heard: F) -> Self {
        Self { cluster, order, meant, heard }
    }

    /// Says which letters would be sent, and does nothing.
    ///
    /// # Errors
    /// See [`RedriveError`].
    pub async fn rehearse(mut self) -> Result<(), RedriveError> {
        let (cluster, order, meant) = (self.cluster, self.order, self.meant);
        let group = matches!(order.sends, Sends::Lost(_)).then_some(&*order.group.group);
        let states = lookback::states_now(cluster, meant.topic, group, &mut self.heard).await?;
        let mut letters = Letters::read(&cluster.reader, meant.stretches, meant.selection, &cluster.codec)?;
        loop {
            match letters.next(TURN).await? {
                Next::End => break,
                Next::Letter(letter) => {
                    if let Some(reported) = rehearsed(order, &letter, states.of(&letter), meant.is_named) {
                        (self.heard)(Heard::Ended(Box::new(reported)));
                    }
                }
                Next::Passed => {}
            }
        }
        say_undecided(&letters, &mut self.heard);
        Ok(())
    }

    /// Until every letter has come to its end, or `stop` is cancelled: then nothing more is sent or awaited.
    ///
    /// # Errors
    /// See [`RedriveError`]; what was sent by then is in the states.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), RedriveError> {
        let Self { cluster, order, meant, heard } = self;
        let interventions = Interventions::connect(cluster.audit_topic, &cluster.codec).await;
        let interventions = interventions.map_err(RedriveError::Schema)?;
        let (writer, states) = take_over(cluster, meant.topic, &order.actor.by, interventions).await?;
        let watch = watch(cluster, &states).await?;
        let letters = Letters::read(&cluster.reader, meant.stretches, meant.selection, &cluster.codec)?;
        let under_way = states.under_way().map(|(letter, _, place)| (place.clone(), letter.clone())).collect();
        let state = running::Start { writer, states, watch, letters, under_way, is_named: meant.is_named };
        let mut running = Running::new(cluster, order, heard, state);
        if let Sends::Lost(_) = order.sends {
            running.look_back().await?;
        }
        running.run(stop).await
    }
}

/// What would become of a letter of this state; `None` if it is not concerned.
fn rehearsed(
    order: &Order,
    letter: &Letter,
    state: Result<Option<&LetterState>, Refusal>,
    is_named: bool,
) -> Option<Reported> {
    let would_be_sent = state.and_then(|state| match (order.takes(state, unix_ms())?, state) {
        (true, state) => {
            let topic = order.destination(letter)?.to_owned();
            Ok(Some(Reported::of(letter, letter.redrive_after(state), Fate::WouldBeSent { topic })))
        }
        (false, Some(state)) if is_named => Ok(Some(Reported::before(letter, state))),
        (false, _) => Ok(None),
    });
    would_be_sent.unwrap_or_else(|why| Some(Reported::refused(letter, &why)))
}

pub(super) fn say_undecided(letters: &Letters<'_>, heard: &mut impl FnMut(Heard)) {
    if let Some((count, first)) = letters.undecided() {
        heard(Heard::Undecided { count, first: first.to_string() });
    }
}

/// Becomes the one who acts on the topic's letters, and reads their states, all that was ever committed.
pub(super) async fn take_over(
    cluster: &Cluster,
    topic: &str,
    by: &str,
    interventions: Interventions,
) -> Result<(Writer, States), RedriveError> {
    let nonce = uuid::Uuid::new_v4().to_string();
    let claim = Claim { topic: topic.to_owned(), by: by.to_owned(), nonce, at: unix_ms() };
    let writer = Writer::claim(&cluster.client, &cluster.codec, interventions, &claim).await?;
    let topics = BTreeSet::from([topic.to_owned()]);
    let deadline = Instant::now() + CLAIM_TIMEOUT;
    loop {
        let states = States::read(&cluster.reader, &cluster.codec, &topics).await?;
        match states.claim(topic) {
            Some(last) if last.nonce == claim.nonce => return Ok((writer, states)),
            Some(last) if last.at > claim.at => return Err(WriteError::Fenced { topic: topic.to_owned() }.into()),
            // The transaction of a command for another topic is open, and what stands behind it cannot be read yet.
            _ if Instant::now() < deadline => tokio::time::sleep(CLAIM_PAUSE).await,
            _ => return Err(RedriveError::Unsettled { topic: topic.to_owned() }),
        }
    }
}

/// Follows the audit topic from now on, or from where the outcomes of what is under way can be.
async fn watch(cluster: &Cluster, states: &States) -> Result<Watch, RedriveError> {
    let stretches = lookback::stretches(cluster, states).await?;
    let from: BTreeMap<i32, i64> = stretches.iter().map(|behind| (behind.source.partition, behind.from.0)).collect();
    let watch = Watch::start(&cluster.client, cluster.audit_topic, &from)?;
    for (_, state, place) in states.under_way() {
        watch.expect(outcome_key(state.event_id.as_deref(), place));
    }
    Ok(watch)
}
