//! A source that is claimed: what is due of it, and its publication.

use jiff::Timestamp;
use serde_json::Value;

use super::error::ScheduleError;
use super::position::{Standings, part, standings};
use super::records::Records;
use super::settings::ScheduleSettings;
use crate::connectors::Publisher;
use crate::event::Outgoing;
use crate::schedule::{Decision, FIRES_MAX, Name, Schedule, Standing, decide};
use crate::schema::payloads::DecisionKind;

/// Ledger entries of one transaction besides those of fires: of schedules that are skipped, started, or both.
const ENTRIES_MAX: usize = 1_000;

/// The leader's, or for a moment a person's.
pub(super) struct Claimed {
    publisher: Publisher,
    pub(super) records: Records,
    pub(super) standings: Standings,
}

/// What one transaction publishes.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) records: Vec<Outgoing>,
    pub(super) standings: Standings,
    pub(super) counts: Vec<Count>,
    /// More is due than was put into it.
    pub(super) more: bool,
}

/// Of one schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) name: Name,
    pub(super) fired: u64,
    pub(super) skipped: u64,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.standings.is_empty()
    }

    fn is_full(&self) -> bool {
        let fires = self.counts.iter().map(|count| count.fired).sum::<u64>();
        fires >= FIRES_MAX as u64 || self.records.len() >= 2 * FIRES_MAX + ENTRIES_MAX
    }
}

impl Claimed {
    /// Takes the source over from whoever has it.
    ///
    /// # Errors
    /// [`ScheduleError`]
    pub(super) async fn claim(settings: &ScheduleSettings, now: Timestamp) -> Result<Self, ScheduleError> {
        let records = Records::new(settings).await?;
        let claimed =
            Publisher::claim(&settings.publisher, &settings.source(), &settings.instance, now.as_millisecond()).await;
        let (publisher, parts) = claimed?;
        Ok(Self { publisher, records, standings: standings(&parts)? })
    }

    /// When the next due time of any of these is. One that has not started is due at once.
    pub(super) fn next(&self, schedules: &[Schedule]) -> Option<Timestamp> {
        schedules.iter().filter_map(|schedule| self.next_of(schedule)).min()
    }

    pub(super) fn next_of(&self, schedule: &Schedule) -> Option<Timestamp> {
        match self.standings.get(&schedule.name) {
            Some(standing) if standing.is_of(&schedule.timetable) => schedule.timetable.next_after(standing.decided_to),
            _ => Some(Timestamp::UNIX_EPOCH),
        }
    }

    /// All that is due, as far as it goes into one transaction.
    ///
    /// # Errors
    /// Permanent: a payload does not fit its schema.
    pub(super) fn due(&self, schedules: &[Schedule], now: Timestamp) -> Result<Change, ScheduleError> {
        let mut change = Change::default();
        for schedule in schedules {
            if change.is_full() {
                change.more = true;
                break;
            }
            match self.standings.get(&schedule.name) {
                Some(standing) if standing.is_of(&schedule.timetable) => {
                    self.decided(schedule, standing, now, &mut change)?;
                }
                earlier => self.started(schedule, earlier, now, &mut change)?,
            }
        }
        Ok(change)
    }

    fn decided(
        &self,
        schedule: &Schedule,
        standing: &Standing,
        now: Timestamp,
        change: &mut Change,
    ) -> Result<(), ScheduleError> {
        let decided = decide(schedule, standing, now);
        if decided.decisions.is_empty() {
            return Ok(());
        }
        let (mut fired, mut skipped) = (0, 0);
        for decision in &decided.decisions {
            self.records.of(schedule, decision, now, &mut change.records)?;
            match decision {
                Decision::Fire(_) => fired += 1,
                Decision::Skip(skip) => skipped += u64::from(skip.count),
            }
        }
        let standing = standing.clone().decided_to(decided.decided_to);
        change.standings.insert(schedule.name.clone(), standing);
        change.counts.push(Count { name: schedule.name.clone(), fired, skipped });
        change.more |= decided.more;
        Ok(())
    }

    /// Nothing was due before: it is new, or has another timetable. A pause is kept.
    fn started(
        &self,
        schedule: &Schedule,
        earlier: Option<&Standing>,
        now: Timestamp,
        change: &mut Change,
    ) -> Result<(), ScheduleError> {
        let mut standing = Standing::new(&schedule.timetable, now);
        standing.paused = earlier.and_then(|earlier| earlier.paused.clone());
        let reason = schedule.timetable.to_string();
        let entry = self.records.entry(&schedule.name, DecisionKind::Started, &reason, now);
        change.records.push(self.records.ledger(&entry)?);
        change.standings.insert(schedule.name.clone(), standing);
        Ok(())
    }

    /// A schedule's standing, and the change that starts it where it has none yet.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub(super) fn standing_of(&self, schedule: &Schedule, now: Timestamp) -> Result<(Change, Standing), ScheduleError> {
        let mut change = Change::default();
        let known = self.standings.get(&schedule.name);
        if let Some(standing) = known.filter(|standing| standing.is_of(&schedule.timetable)) {
            return Ok((change, standing.clone()));
        }
        self.started(schedule, known, now, &mut change)?;
        let standing = change.standings.remove(&schedule.name).expect("it has just been started");
        Ok((change, standing))
    }

    /// All of it or nothing.
    ///
    /// # Errors
    /// [`ScheduleError`]; the source is to be claimed anew then.
    pub(super) async fn publish(&mut self, change: Change, now: Timestamp) -> Result<Vec<Count>, ScheduleError> {
        let parts = change.standings.iter().map(|(name, standing)| (part(name), Some(standing.written())));
        let parts: Vec<(String, Option<Value>)> = parts.collect();
        self.publisher.publish(change.records, parts, now.as_millisecond()).await?;
        self.standings.extend(change.standings);
        Ok(change.counts)
    }
}
