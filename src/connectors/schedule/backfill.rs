//! Due times of the past that somebody wants fired.
//!
//! What was fired already is not fired again. That is known from the ledger, read up to a mark that is written first: once
//! the mark can be read, so can everything that was committed before it. Due times that the leader has not decided yet are
//! left to it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::desk::Desk;
use super::error::ScheduleError;
use super::ledger::{Ledger, LookError};
use super::position::positions;
use crate::event::Outgoing;
use crate::schedule::{Fire, Reason, Schedule};
use crate::schema::payloads::{DecisionKind, ScheduleDecision};

/// Due times of one backfill: they are one transaction.
pub const BACKFILL_MAX: usize = 1_000;

/// The mark is looked for this often.
const LOOKS_MAX: u32 = 100;
/// Between two looks: the transaction of somebody else may still be open.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What a backfill did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// Oldest first.
    pub due: Vec<(Timestamp, Due)>,
}

/// What becomes of a due time in a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is fired.
    Backfilled,
    /// It was fired before.
    Fired,
    /// The connector has not decided it yet.
    Undecided,
}

#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("there are more than {BACKFILL_MAX} due times between these")]
    TooMany,
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error("the schedule ledger cannot be read to its end: transactions are open for too long")]
    Behind,
}

impl Desk {
    /// The due times from `from` on, before `to`. With `dry_run` nothing is published.
    ///
    /// # Errors
    /// [`BackfillError`]. All is published or nothing; what is done twice is published once.
    pub async fn backfill(
        &self,
        schedule: &Schedule,
        (from, to): (Timestamp, Timestamp),
        reason: Option<&str>,
        dry_run: bool,
    ) -> Result<Backfill, BackfillError> {
        let due = due_between(schedule, from, to)?;
        let ledger = Ledger::new(self.reader.clone(), &self.settings);
        if dry_run || due.is_empty() {
            let decided_to = self.decided_to(schedule).await?;
            let (fired, _) = fired(&ledger, schedule, "").await?;
            return Ok(sorted(due, decided_to, &fired));
        }
        let now = Timestamp::now();
        let (records, publisher) = self.by_hand(schedule, now).await.map_err(BackfillError::Schedule)?;
        let mark = uuid::Uuid::new_v4().to_string();
        let entry = ScheduleDecision {
            due_from: Some(from.as_millisecond()),
            due_to: Some(to.as_millisecond()),
            event_id: Some(mark.clone()),
            ..records.entry(&schedule.name, DecisionKind::Backfill, reason.unwrap_or_default(), now)
        };
        // The position first: what is decided up to it is in the ledger before the mark.
        let decided_to = self.decided_to(schedule).await?;
        let marked = vec![records.ledger(&entry).map_err(ScheduleError::from)?];
        publisher.publish(marked, [], now.as_millisecond()).await.map_err(ScheduleError::from)?;
        let backfill = sorted(due, decided_to, &fired_before(&ledger, schedule, &mark).await?);
        let mut out: Vec<Outgoing> = Vec::new();
        for (due, _) in backfill.due.iter().filter(|(_, becomes)| *becomes == Due::Backfilled) {
            let fire = Fire { due: *due, reason: Reason::Backfilled };
            records.fire(schedule, fire, reason.unwrap_or_default(), now, &mut out).map_err(ScheduleError::from)?;
        }
        if !out.is_empty() {
            publisher.publish(out, [], now.as_millisecond()).await.map_err(ScheduleError::from)?;
        }
        Ok(backfill)
    }

    /// Up to where the leader has decided; of a schedule that it never had, now.
    async fn decided_to(&self, schedule: &Schedule) -> Result<Timestamp, LookError> {
        let standings = positions(&self.reader, &self.settings).await?;
        Ok(standings.get(&schedule.name).map_or_else(Timestamp::now, |standing| standing.decided_to))
    }
}

fn due_between(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Result<Vec<Timestamp>, BackfillError> {
    let before = from.checked_sub(Duration::from_nanos(1)).unwrap_or(Timestamp::MIN);
    let first = schedule.timetable.next_after(before);
    let all = std::iter::successors(first, |due| schedule.timetable.next_after(*due));
    let due: Vec<Timestamp> = all.take_while(|due| *due < to).take(BACKFILL_MAX + 1).collect();
    if due.len() > BACKFILL_MAX { Err(BackfillError::TooMany) } else { Ok(due) }
}

/// Due times that were fired, in milliseconds; and whether the mark was among the entries.
async fn fired(ledger: &Ledger, schedule: &Schedule, mark: &str) -> Result<(BTreeSet<i64>, bool), LookError> {
    let (mut fired, mut marked) = (BTreeSet::new(), false);
    ledger
        .each(&schedule.name, |entry| {
            marked |= entry.decision == DecisionKind::Backfill && entry.event_id.as_deref() == Some(mark);
            if entry.decision.is_fire() {
                fired.extend(entry.due_from);
            }
        })
        .await?;
    Ok((fired, marked))
}

/// All that was fired before the mark was written.
async fn fired_before(ledger: &Ledger, schedule: &Schedule, mark: &str) -> Result<BTreeSet<i64>, BackfillError> {
    for _ in 0..LOOKS_MAX {
        let (fired, marked) = fired(ledger, schedule, mark).await?;
        if marked {
            return Ok(fired);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Err(BackfillError::Behind)
}

fn sorted(due: Vec<Timestamp>, decided_to: Timestamp, fired: &BTreeSet<i64>) -> Backfill {
    let becomes = |due: Timestamp| match due {
        due if due > decided_to => Due::Undecided,
        due if fired.contains(&due.as_millisecond()) => Due::Fired,
        _ => Due::Backfilled,
    };
    Backfill { due: due.into_iter().map(|due| (due, becomes(due))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{GRACE, Missed, Timetable};

    #[test]
    fn a_backfill_takes_what_was_decided_and_not_fired() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let schedule = Schedule {
            name: "hourly".parse().unwrap(),
            timetable: Timetable::cron("0 * * * *", "UTC").unwrap(),
            event_type: "schedule.fired".to_owned(),
            data: serde_json::json!({}),
            missed: Missed::Skip,
            grace: GRACE,
            enabled: true,
        };
        let due = due_between(&schedule, time("2026-01-01T01:00:00Z"), time("2026-01-01T05:00:00Z")).unwrap();
        let fired = [time("2026-01-01T02:00:00Z").as_millisecond()].into();
        let becomes: Vec<Due> =
            sorted(due, time("2026-01-01T03:00:00Z"), &fired).due.into_iter().map(|(_, becomes)| becomes).collect();
        assert_eq!(becomes, [Due::Backfilled, Due::Fired, Due::Backfilled, Due::Undecided]);
        let years = due_between(&schedule, time("2020-01-01T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        assert!(matches!(years, Err(BackfillError::TooMany)));
    }
}
