//! The connector: leads, or stands by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::ScheduleError;
use super::progress::{Phase, Progress};
use super::settings::ScheduleSettings;
use super::turn::{Change, Claimed, Count};
use crate::connectors::{Admission, Backoff, Open, Ownership, Sharing, random, size};
use crate::schedule::Schedule;

/// A sleep ends after this, due or not: the clock on the wall may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// First wait after an error. A person who pauses a schedule takes less.
const BACKOFF: Duration = Duration::from_millis(200);
/// Longest wait after errors.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A connector, before it runs.
#[derive(Clone, Debug)]
pub struct ScheduleConnector {
    pub schedules: Vec<Schedule>,
    pub settings: ScheduleSettings,
    pub admission: Arc<dyn Admission>,
    pub sharing: Sharing,
}

impl ScheduleConnector {
    /// Always admitted; leads as the deployment's group says.
    #[must_use]
    pub fn new(schedules: Vec<Schedule>, settings: ScheduleSettings) -> Self {
        let sharing = Sharing::Group(settings.group());
        Self { schedules, settings, admission: Arc::new(Open), sharing }
    }

    /// Runs until `stop`; a transaction under way is completed. `progress` shows every schedule from the start.
    ///
    /// # Errors
    /// [`ScheduleError`]; what may pass is tried again for ever.
    pub async fn run(
        self,
        stop: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Result<Progress, ScheduleError> {
        progress.send_modify(|progress| {
            for schedule in &self.schedules {
                progress.schedules.entry(schedule.name.to_string()).or_default();
            }
        });
        let lead = Lead { connector: &self, progress: &progress };
        match &self.sharing {
            Sharing::Alone => lead.until(&stop).await?,
            Sharing::Group(group) => {
                let partition = self.partition().await?;
                let publisher = &self.settings.publisher;
                let ownership = Ownership::join(&publisher.client, group, &publisher.offsets_topic)?;
                let led = lead.while_owned(partition, ownership.owned(), &stop).await;
                let left = ownership.leave().await;
                led?;
                left?;
            }
        }
        Ok(progress.borrow().clone())
    }

    /// Of the offsets topic: who has it leads.
    async fn partition(&self) -> Result<i32, ScheduleError> {
        let publisher = self.settings.publisher.clone();
        let asked = move || Ownership::partitions(&publisher.client, &publisher.offsets_topic);
        let count = tokio::task::spawn_blocking(asked).await.unwrap_or(Err(rdkafka::error::KafkaError::Canceled))?;
        if count == 0 {
            return Err(ScheduleError::NoTopic(self.settings.publisher.offsets_topic.clone()));
        }
        Ok(self.settings.source().partition(count))
    }
}

/// One process' leadership.
struct Lead<'a> {
    connector: &'a ScheduleConnector,
    progress: &'a watch::Sender<Progress>,
}

impl Lead<'_> {
    /// Leads whenever the group gives us the partition.
    async fn while_owned(
        &self,
        partition: i32,
        mut owned: watch::Receiver<BTreeSet<i32>>,
        stop: &CancellationToken,
    ) -> Result<(), ScheduleError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ours = owned.wait_for(|owned| owned.contains(&partition)) => if ours.is_err() { return Ok(()) },
            }
            let term = stop.child_token();
            let lead = self.until(&term);
            tokio::pin!(lead);
            let membership_ended = tokio::select! {
                ended = &mut lead => return ended,
                lost = owned.wait_for(|owned| !owned.contains(&partition)) => lost.is_err(),
            };
            term.cancel();
            lead.await?;
            if membership_ended {
                // With an error, which whoever leaves the group is told.
                return Ok(());
            }
            self.progress.send_modify(|progress| {
                progress.phase = Phase::StandingBy;
                progress.schedules.values_mut().for_each(|schedule| schedule.next = None);
            });
        }
    }

    /// Leads until it is told to stop.
    async fn until(&self, stop: &CancellationToken) -> Result<(), ScheduleError> {
        let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
        let mut claimed = None;
        while !stop.is_cancelled() {
            let wait = match self.turn(&mut claimed, stop).await {
                Ok(wait) => {
                    backoff.reset();
                    wait
                }
                Err(error) => {
                    claimed = None;
                    if !error.may_pass() {
                        return Err(error);
                    }
                    let wait = backoff.next(random());
                    self.failed(&error, wait);
                    wait
                }
            };
            // Until something is due, or the back-off after an error. A stop ends it.
            let _told = tokio::time::timeout(wait, stop.cancelled()).await;
        }
        Ok(())
    }

    fn failed(&self, error: &ScheduleError, wait: Duration) {
        if error.is_fenced() {
            // Nothing is wrong: what was in hand is decided anew, after what somebody else has done.
            tracing::info!("the schedules were taken over; claiming them again");
            return;
        }
        tracing::warn!(%error, wait_s = wait.as_secs_f32(), "schedules are not fired; trying again");
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Failing;
            progress.error = Some(error.to_string());
        });
    }

    /// Publishes all that is due, and says how long nothing will be. Told to stop, it ends after the transaction that is
    /// under way.
    async fn turn(&self, claimed: &mut Option<Claimed>, stop: &CancellationToken) -> Result<Duration, ScheduleError> {
        let ScheduleConnector { schedules, settings, admission, .. } = self.connector;
        let claimed = match claimed {
            Some(claimed) => claimed,
            None => {
                let fresh = tokio::select! {
                    fresh = Claimed::claim(settings, Timestamp::now()) => fresh?,
                    // Nothing is under way yet.
                    () = stop.cancelled() => return Ok(Duration::ZERO),
                };
                tracing::info!(schedules = schedules.len(), known = fresh.standings.len(), "leading the schedules");
                claimed.insert(fresh)
            }
        };
        loop {
            let now = Timestamp::now();
            let next = claimed.next(schedules);
            if next.is_none_or(|next| next > now) {
                self.leading(claimed, &[]);
                return Ok(next.map_or(SLEEP_MAX, |next| until(next, now)));
            }
            let change = claimed.due(schedules, now)?;
            let more = change.more;
            tokio::select! {
                admitted = admission.ready(change.records.len(), bytes(&change)) => admitted?,
                // Nothing of it is published.
                () = stop.cancelled() => return Ok(Duration::ZERO),
            }
            let counts = claimed.publish(change, now).await?;
            self.leading(claimed, &counts);
            if !more || stop.is_cancelled() {
                return Ok(Duration::ZERO);
            }
        }
    }

    fn leading(&self, claimed: &Claimed, counts: &[Count]) {
        self.progress.send_modify(|progress| {
            progress.phase = Phase::Leading;
            progress.error = None;
            for Count { name, fired, skipped } in counts {
                let schedule = progress.schedules.entry(name.to_string()).or_default();
                schedule.fired += fired;
                schedule.skipped += skipped;
            }
            for schedule in &self.connector.schedules {
                progress.schedules.entry(schedule.name.to_string()).or_default().next = claimed.next_of(schedule);
            }
        });
    }
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or_default().min(SLEEP_MAX)
}

fn bytes(change: &Change) -> usize {
    change.records.iter().map(size).sum()
}
