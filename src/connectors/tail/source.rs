//! One topic: claim, read, translate, publish.
//!
//! An error drops the claim and what was read ahead: claimed anew, the source goes on where its last transaction ended.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::error::TailError;
use super::position::{Positions, part, positions};
use super::progress::{Phase, Progress, SourceState};
use crate::connectors::owned::Owned;
use crate::connectors::{Admission, Backoff, Publisher, PublisherSettings, SourceId, random, size};
use crate::dispatch::Failure;
use crate::event::{Outgoing, Record};
use crate::kafka::scan::{Reader, Start};
use crate::runtime::unix_ms;

/// First wait after an error.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait after errors.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Records that become no event are in positions that are written down this often.
const POSITIONS_EVERY: Duration = Duration::from_secs(5);

/// What is done where retention took records before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// The source ends with what was lost.
    Halt,
    /// It is logged and counted, and the source goes on behind it.
    Continue,
}

/// What becomes of a record.
#[derive(Debug, Default)]
pub struct Translated {
    pub events: Vec<Outgoing>,
    /// The record was not what it should be; the events say so.
    pub refused: bool,
}

/// From records to events. The same record gives the same events.
#[async_trait]
pub trait Translate: Send + Sync + fmt::Debug {
    /// # Errors
    /// Nothing can be translated at the moment: the record is read again. A record that can never be translated is refused
    /// with an event, or is none of ours and becomes none.
    async fn translate(&self, record: &Record) -> Result<Translated, Failure>;
}

/// A topic that is tailed.
#[derive(Clone, Debug)]
pub struct TailSource {
    pub id: SourceId,
    pub topic: String,
    pub reader: Reader,
    /// Where it begins if it was never read.
    pub start: Start,
    pub on_loss: OnLoss,
    pub translate: Arc<dyn Translate>,
}

/// What all sources of a connector share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) publisher: PublisherSettings,
    pub(super) admission: Arc<dyn Admission>,
    pub(super) instance: String,
    pub(super) progress: watch::Sender<Progress>,
}

/// A source with all that it runs with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) settings: TailSource,
    pub(super) shared: Shared,
}

#[async_trait]
impl Owned for Source {
    type Error = TailError;

    fn id(&self) -> SourceId {
        self.settings.id.clone()
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), TailError> {
        let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
        while !stop.is_cancelled() {
            let Err(error) = self.term(&stop, &mut backoff).await else { continue };
            let wait = backoff.next(random());
            if error.is_fenced() {
                tracing::info!(source = %self.settings.id, "the source was claimed by another connector; claiming it again");
            } else {
                tracing::warn!(source = %self.settings.id, %error, wait_s = wait.as_secs_f32(), "the topic is not tailed");
                self.report(|state| {
                    state.phase = Phase::Failing;
                    state.error = Some(error.to_string());
                });
            }
            if !error.may_pass() {
                return Err(error);
            }
            // A stop ends it.
            let _told = tokio::time::timeout(wait, stop.cancelled()).await;
        }
        Ok(())
    }

    fn standing_by(&self) {
        self.report(|state| state.phase = Phase::StandingBy);
    }
}

/// A source that is owned: its publisher, and what is committed.
struct Claim {
    publisher: Publisher,
    positions: Positions,
    /// Read, became no event, and is not written down.
    quiet: Positions,
    written: Instant,
}

impl Source {
    /// Until it is told to stop, or there are more partitions.
    async fn term(&self, stop: &CancellationToken, backoff: &mut Backoff) -> Result<(), TailError> {
        let TailSource { id, topic, reader, start, .. } = &self.settings;
        let claimed = tokio::select! {
            claimed = Publisher::claim(&self.shared.publisher, id, &self.shared.instance, unix_ms()) => claimed,
            // Nothing is under way yet.
            () = stop.cancelled() => return Ok(()),
        };
        let (publisher, parts) = claimed?;
        let positions = positions(&parts)?;
        tracing::info!(source = %id, partitions = positions.len(), "source claimed");
        let mut tail = reader.tail(topic, positions.clone(), *start)?;
        let mut claim = Claim { publisher, positions, quiet: Positions::new(), written: Instant::now() };
        let mut heard = false;
        loop {
            let batch = tokio::select! {
                batch = Batch::next(&mut tail) => batch?,
                () = stop.cancelled() => return self.write_down(&mut claim).await,
            };
            heard |= batch.told;
            if !heard {
                // Nobody has answered yet.
                continue;
            }
            let more_partitions = batch.more_partitions;
            self.publish(&mut claim, batch, stop).await?;
            backoff.reset();
            if stop.is_cancelled() || more_partitions {
                return self.write_down(&mut claim).await;
            }
        }
    }

    async fn publish(&self, claim: &mut Claim, batch: Batch, stop: &CancellationToken) -> Result<(), TailError> {
        self.lost(&batch)?;
        let (mut events, mut refused) = (Vec::new(), 0);
        for record in &batch.records {
            let translated = self.settings.translate.translate(record).await?;
            refused += u64::from(translated.refused);
            events.extend(translated.events);
        }
        let (read, published) = (batch.records.len() as u64, events.len() as u64);
        if events.is_empty() {
            claim.quiet.extend(batch.positions);
            if batch.began || !batch.lost.is_empty() || claim.written.elapsed() >= POSITIONS_EVERY {
                self.write_down(claim).await?;
            }
        } else {
            tokio::select! {
                admitted = self.shared.admission.ready(events.len(), events.iter().map(size).sum()) => admitted?,
                // Nothing of the batch is published.
                () = stop.cancelled() => return Ok(()),
            }
            let mut covered = std::mem::take(&mut claim.quiet);
            covered.extend(batch.positions);
            claim.publisher.publish(events, covered.iter().map(part), unix_ms()).await?;
            claim.positions.extend(covered);
            claim.written = Instant::now();
        }
        let lost: u64 = batch.lost.iter().map(|(_, from, to)| u64::try_from(to - from).unwrap_or(0)).sum();
        self.report(|state| {
            state.phase = Phase::Tailing;
            state.error = None;
            state.read += read;
            state.published += published;
            state.refused += refused;
            state.lost += lost;
        });
        Ok(())
    }

    fn lost(&self, batch: &Batch) -> Result<(), TailError> {
        for &(partition, from, to) in &batch.lost {
            let lost = TailError::Lost { topic: self.settings.topic.clone(), partition, from, to };
            match self.settings.on_loss {
                OnLoss::Halt => return Err(lost),
                OnLoss::Continue => {
                    tracing::error!(source = %self.settings.id, error = %lost, "records are lost; going on")
                }
            }
        }
        Ok(())
    }

    /// Writes positions down that no event came with.
    async fn write_down(&self, claim: &mut Claim) -> Result<(), TailError> {
        let quiet = std::mem::take(&mut claim.quiet);
        let new: Positions = quiet.into_iter().filter(|(at, next)| claim.positions.get(at) != Some(next)).collect();
        if !new.is_empty() {
            claim.publisher.publish(Vec::new(), new.iter().map(part), unix_ms()).await?;
            claim.positions.extend(new);
        }
        claim.written = Instant::now();
        Ok(())
    }

    fn report(&self, change: impl FnOnce(&mut SourceState)) {
        let name = self.settings.id.source.clone();
        self.shared.progress.send_modify(|progress| change(progress.sources.entry(name).or_default()));
    }
}
