//! One repository's poll loop: look, publish what is new, wait.
//!
//! Reads ahead by one batch while the previous one is published, so at most two batches are in memory. An error of the
//! repository is retried with back-off and does not concern other repositories; an error of Kafka drops the publisher and
//! claims the source anew, which finds out what was committed.
//!
//! A wake (see `wakes`) ends the wait between two looks, not the one after an error: somebody who wakes often must not make a
//! server that fails be asked often.

use std::sync::Arc;

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::events::Encoders;
use super::progress::{Phase, Progress, RepositoryProgress};
use super::state::{RepositoryState, UnreadableOffset};
use super::{GitError, Repositories, RepositorySettings, Session};
use crate::connectors::{
    Admission, AdmissionError, Backoff, Parts, PublishError, Publisher, PublisherSettings, SourceId, jittered, random,
    size,
};
use crate::dispatch::Failure;
use crate::schema::Codec;

/// The connector's name in source ids.
pub const CONNECTOR: &str = "git";

/// With `once`, a repository is given up after this many failures in a row that may pass.
const ONCE_ATTEMPTS: u32 = 3;

/// A server may tell of a push before every replica of its own can be asked for it: after a wake that found nothing, it is
/// looked again after these times, unless the poll interval is shorter.
const AGAIN_AFTER_WAKE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];

/// What all sources of a connector share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) repositories: Repositories,
    pub(super) codec: Codec,
    pub(super) topic: Arc<str>,
    pub(super) publisher: PublisherSettings,
    pub(super) admission: Arc<dyn Admission>,
    pub(super) instance: String,
    /// Publish what is there and end.
    pub(super) once: bool,
    pub(super) progress: watch::Sender<Progress>,
}

/// Why a source ended without being told to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Offset(#[from] UnreadableOffset),
    #[error(transparent)]
    Encode(#[from] Failure),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl SourceError {
    /// Whether trying again later can help, without the configuration or the offsets being changed.
    const fn may_pass(&self) -> bool {
        !matches!(self, Self::Offset(_) | Self::Publish(PublishError::Unreadable { .. }))
    }

    /// Whether with `once` there is any use in waiting.
    fn is_passing(&self) -> bool {
        match self {
            Self::Git(error) => error.is_passing(),
            Self::Publish(error) => matches!(error, PublishError::Kafka { .. } | PublishError::Fenced { .. }),
            Self::Encode(failure) => matches!(failure.class, crate::engine::Class::Systemic(_)),
            Self::Admission(_) => true,
            Self::Offset(_) => false,
        }
    }
}

/// One watched repository.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) settings: Arc<RepositorySettings>,
    pub(super) shared: Shared,
    /// Told when somebody says that there is something new, also while a look is under way.
    pub(super) woken: Arc<Notify>,
}

/// A source that is owned: its publisher, and everything that is committed.
struct Claim {
    publisher: Publisher,
    offsets: Parts,
    encoders: Encoders,
    /// Kept from look to look while nothing fails: it has the loaded graph.
    session: Option<Session>,
}

impl Source {
    pub(super) fn id_of(settings: &RepositorySettings) -> SourceId {
        SourceId::new(CONNECTOR, settings.address.id.as_str())
    }

    /// Until stopped, or, with `once`, until everything that is there is published.
    pub(super) async fn watch(&self, stop: &CancellationToken) -> Result<(), SourceError> {
        let poll = self.settings.poll;
        let mut backoff = Backoff::new(poll.backoff, poll.backoff_max);
        let mut claim = None;
        let mut wakeful = Wakeful::default();
        while !stop.is_cancelled() {
            match self.look(&mut claim, stop).await {
                Ok(published) => {
                    backoff.reset();
                    if self.shared.once {
                        return Ok(());
                    }
                    let wait = wakeful.wait(published).map_or(poll.interval, |soon| soon.min(poll.interval));
                    // A repository does not tell by itself when it has changed. A wake ends the wait, and so does a stop.
                    tokio::select! {
                        () = tokio::time::sleep(jittered(wait, random())) => {}
                        () = self.woken.notified() => wakeful.wake(),
                        () = stop.cancelled() => {}
                    }
                }
                Err(error) => {
                    if !matches!(error, SourceError::Git(_)) {
                        claim = None;
                    }
                    self.report(|progress| {
                        progress.phase = Phase::Failing;
                        progress.error = Some(error.to_string());
                    });
                    let give_up = self.shared.once && (!error.is_passing() || backoff.failures() + 1 >= ONCE_ATTEMPTS);
                    if give_up || !error.may_pass() {
                        return Err(error);
                    }
                    let wait = backoff.next(random());
                    tracing::warn!(repository = %self.settings.address.id, %error, wait_s = wait.as_secs_f32(), "trying again");
                    // A stop ends it.
                    let _told = tokio::time::timeout(wait, stop.cancelled()).await;
                }
            }
        }
        Ok(())
    }

    /// Publishes everything that is new right now, and says whether there was anything. Told to stop, it ends after the
    /// transaction that is under way.
    async fn look(&self, claim: &mut Option<Claim>, stop: &CancellationToken) -> Result<bool, SourceError> {
        // Nothing is under way yet: neither a slow cluster nor a slow server delays a shutdown.
        let ready = async {
            let claim = match claim {
                Some(claim) => claim,
                None => claim.insert(self.claim().await?),
            };
            self.shared.repositories.update(&self.settings.address).await?;
            Ok::<_, SourceError>(claim)
        };
        let claim = tokio::select! {
            claim = ready => claim?,
            () = stop.cancelled() => return Ok(false),
        };
        let session = match claim.session.take() {
            Some(session) => session,
            None => Session::new(Arc::clone(&self.settings), RepositoryState::from_parts(&claim.offsets)?),
        };
        let (mut session, mut ready) = self.read(session, true).await?;
        let mut anything = false;
        while let Some(batch) = ready.take() {
            if stop.is_cancelled() {
                return Ok(anything);
            }
            anything |= !batch.changes.is_empty();
            self.report(|progress| {
                progress.phase = Phase::Publishing;
                progress.found = progress.done + (batch.walked + batch.remaining) as u64;
            });
            let (published, read) = tokio::join!(self.publish(claim, batch, stop), self.read(session, false));
            published?;
            (session, ready) = read?;
        }
        claim.session = Some(session);
        self.report(|progress| {
            progress.phase = Phase::UpToDate;
            progress.error = None;
        });
        Ok(anything)
    }

    async fn claim(&self) -> Result<Claim, SourceError> {
        let encoders = Encoders::new(&self.shared.codec, &self.shared.topic).await?;
        let source = Self::id_of(&self.settings);
        let claimed = Publisher::claim(&self.shared.publisher, &source, &self.shared.instance, now_ms()).await;
        let (publisher, offsets) = claimed?;
        tracing::info!(repository = %self.settings.address.id, parts = offsets.len(), "source claimed");
        Ok(Claim { publisher, offsets, encoders, session: None })
    }

    async fn read(&self, mut session: Session, refresh: bool) -> Result<(Session, Option<Batch>), GitError> {
        let (limits, now_ms) = (self.settings.limits, now_ms());
        let work = move |handle: &mut super::Handle| {
            if refresh {
                session.refresh(handle)?;
            }
            let batch = session.next_batch(handle, limits, now_ms)?;
            Ok((session, batch))
        };
        self.shared.repositories.read(&self.settings.address, work).await
    }

    async fn publish(&self, claim: &mut Claim, batch: Batch, stop: &CancellationToken) -> Result<(), SourceError> {
        let repository = &self.settings.address.id;
        let mut records = Vec::with_capacity(batch.changes.len());
        for change in batch.changes {
            records.push(claim.encoders.record(repository, change)?);
        }
        let bytes = records.iter().map(size).sum();
        tokio::select! {
            admitted = self.shared.admission.ready(records.len(), bytes) => admitted?,
            // Nothing of the batch is published.
            () = stop.cancelled() => return Ok(()),
        }
        let published = records.len() as u64;
        claim.publisher.publish(records, batch.offsets.clone(), now_ms()).await?;
        for (part, offset) in batch.offsets {
            match offset {
                Some(offset) => claim.offsets.insert(part, offset),
                None => claim.offsets.remove(&part),
            };
        }
        self.report(|progress| {
            progress.published += published;
            progress.done += batch.walked as u64;
            progress.error = None;
        });
        Ok(())
    }

    pub(super) fn report(&self, change: impl FnOnce(&mut RepositoryProgress)) {
        let id = self.settings.address.id.to_string();
        self.shared.progress.send_modify(|progress| change(progress.repositories.entry(id).or_default()));
    }
}

/// How soon to look again after a wake that found nothing yet.
#[derive(Debug, Default)]
struct Wakeful {
    /// Looks without a result since the wake; `None` without a wake.
    in_vain: Option<usize>,
}

impl Wakeful {
    fn wake(&mut self) {
        self.in_vain = Some(0);
    }

    /// After a look: the time until the next one, if it is not the usual one.
    fn wait(&mut self, published: bool) -> Option<Duration> {
        let before = self.in_vain.take().filter(|_| !published)?;
        let wait = AGAIN_AFTER_WAKE.get(before).copied()?;
        self.in_vain = Some(before + 1);
        Some(wait)
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_that_finds_nothing_is_followed_by_further_looks_and_then_by_the_usual_ones() {
        let mut wakeful = Wakeful::default();
        assert_eq!(wakeful.wait(false), None, "nobody woke it");
        wakeful.wake();
        let waits: Vec<_> = std::iter::from_fn(|| wakeful.wait(false)).collect();
        assert_eq!(waits, AGAIN_AFTER_WAKE);
        assert_eq!(wakeful.wait(false), None);
        wakeful.wake();
        assert_eq!(wakeful.wait(true), None, "it found what it was woken for");
        assert_eq!(wakeful.wait(false), None);
    }
}
