//! What a person does with a schedule: pause, resume, trigger.

use std::time::Duration;

use jiff::Timestamp;

use super::error::ScheduleError;
use super::records::Records;
use super::settings::ScheduleSettings;
use super::turn::{Change, Claimed};
use crate::connectors::{Backoff, Publisher, random};
use crate::event::Outgoing;
use crate::kafka::scan::Reader;
use crate::schedule::{Fire, Pause, Reason, Schedule};
use crate::schema::payloads::DecisionKind;

/// The leader claims the source back as soon as something is due: taking it over is tried this often.
const TAKEOVERS_MAX: u32 = 10;
/// First wait before it is tried again.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Where people work on the schedules of a deployment. `settings.instance` is who they are.
#[derive(Clone, Debug)]
pub struct Desk {
    pub(super) settings: ScheduleSettings,
    pub(super) reader: Reader,
}

impl Desk {
    #[must_use]
    pub const fn new(settings: ScheduleSettings, reader: Reader) -> Self {
        Self { settings, reader }
    }

    /// Once this has returned nothing is fired: what was due is decided, what will be is skipped. Gives the pause that is in
    /// force, which is an earlier one where there was one, and whether it is a new one.
    ///
    /// # Errors
    /// [`ScheduleError`]
    pub async fn pause(&self, schedule: &Schedule, reason: Option<&str>) -> Result<(Pause, bool), ScheduleError> {
        self.take_over(async |claimed, now| {
            if let Some(pause) = claimed.standing_of(schedule, now)?.1.paused {
                return Ok((pause, false));
            }
            // What the leader had in hand: it was due before, and is not to come once we have returned.
            Self::settle(claimed, schedule, now).await?;
            let (mut change, mut standing) = claimed.standing_of(schedule, now)?;
            let pause = Pause { at: now, by: self.settings.instance.clone(), reason: reason.map(str::to_owned) };
            standing.paused = Some(pause.clone());
            Self::note(claimed, schedule, DecisionKind::Paused, reason, now, &mut change)?;
            change.standings.insert(schedule.name.clone(), standing);
            claimed.publish(change, now).await?;
            Ok((pause, true))
        })
        .await
    }

    /// What is due from now on is fired. What was due during the pause is skipped, and said to be, if the connector was not
    /// there to say so. Gives the pause that ended; `None` if there was none.
    ///
    /// # Errors
    /// [`ScheduleError`]
    pub async fn resume(&self, schedule: &Schedule, reason: Option<&str>) -> Result<Option<Pause>, ScheduleError> {
        self.take_over(async |claimed, now| {
            let (_, standing) = claimed.standing_of(schedule, now)?;
            let Some(pause) = standing.paused else { return Ok(None) };
            Self::settle(claimed, schedule, now).await?;
            let (mut change, standing) = claimed.standing_of(schedule, now)?;
            let mut standing = standing.decided_to(now);
            standing.paused = None;
            Self::note(claimed, schedule, DecisionKind::Resumed, reason, now, &mut change)?;
            change.standings.insert(schedule.name.clone(), standing);
            claimed.publish(change, now).await?;
            Ok(Some(pause))
        })
        .await
    }

    /// Fires now, whether anything is due or not; a pause does not stop a person. The leader goes on undisturbed.
    ///
    /// # Errors
    /// [`ScheduleError`]
    pub async fn trigger(&self, schedule: &Schedule, reason: Option<&str>) -> Result<Fire, ScheduleError> {
        let now = Timestamp::now();
        let (records, publisher) = self.by_hand(schedule, now).await?;
        let fire = Fire { due: now, reason: Reason::Triggered };
        let mut out: Vec<Outgoing> = Vec::new();
        records.fire(schedule, fire, reason.unwrap_or_default(), now, &mut out)?;
        publisher.publish(out, [], now.as_millisecond()).await?;
        Ok(fire)
    }

    /// For fires that the leader does not decide: it is not disturbed, but others who do the same are.
    pub(super) async fn by_hand(
        &self,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<(Records, Publisher), ScheduleError> {
        let Self { settings, .. } = self;
        let records = Records::new(settings).await?;
        let source = settings.by_hand(&schedule.name);
        let claimed = Publisher::claim(&settings.publisher, &source, &settings.instance, now.as_millisecond()).await;
        Ok((records, claimed?.0))
    }

    /// Decides all that is due by now.
    async fn settle(claimed: &mut Claimed, schedule: &Schedule, now: Timestamp) -> Result<(), ScheduleError> {
        loop {
            let change = claimed.due(std::slice::from_ref(schedule), now)?;
            let more = change.more;
            if !change.is_empty() {
                claimed.publish(change, now).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn note(
        claimed: &Claimed,
        schedule: &Schedule,
        what: DecisionKind,
        reason: Option<&str>,
        now: Timestamp,
        change: &mut Change,
    ) -> Result<(), ScheduleError> {
        let entry = claimed.records.entry(&schedule.name, what, reason.unwrap_or_default(), now);
        change.records.push(claimed.records.ledger(&entry)?);
        Ok(())
    }

    /// Does something as the owner of the positions, between two transactions of the leader.
    async fn take_over<T>(
        &self,
        act: impl AsyncFn(&mut Claimed, Timestamp) -> Result<T, ScheduleError>,
    ) -> Result<T, ScheduleError> {
        let mut backoff = Backoff::new(BACKOFF, BACKOFF_MAX);
        loop {
            let done = match Claimed::claim(&self.settings, Timestamp::now()).await {
                // The leader may have gone on until just now.
                Ok(mut claimed) => act(&mut claimed, Timestamp::now()).await,
                Err(error) => Err(error),
            };
            match done {
                Err(error) if error.is_fenced() && backoff.failures() < TAKEOVERS_MAX => {
                    tokio::time::sleep(backoff.next(random())).await;
                }
                done => return done,
            }
        }
    }
}
