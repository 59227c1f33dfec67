//! Which due times are decided now, and how.

use jiff::Timestamp;

use super::{Fire, Missed, Reason, Schedule, Standing};

/// Fires that are decided at once; the rest comes with the next step.
pub const FIRES_MAX: usize = 500;
/// Due times that are decided at once: what was skipped over years takes several steps, and none of them long.
pub const STEP_MAX: usize = 20_000;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Oldest first. Empty: nothing is due.
    pub decisions: Vec<Decision>,
    /// Up to here every due time is decided then.
    pub decided_to: Timestamp,
    /// More is due, and decided by the next step.
    pub more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Fire(Fire),
    Skip(Skip),
}

/// Due times in a row that are not fired, for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u32,
    pub why: Why,
}

/// Why a due time is not fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Paused,
    Disabled,
    /// It was missed, and none is caught up.
    Missed,
    /// It was missed, and a later one stands for it.
    Superseded,
    /// It was missed, with more after it than are caught up.
    BeyondLimit,
}

impl Why {
    /// As the schedule's ledger says it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Missed => "missed",
            Self::Superseded => "superseded",
            Self::BeyondLimit => "beyond_limit",
        }
    }
}

/// Decides what is due at `now` and not decided yet.
#[must_use]
pub fn decide(schedule: &Schedule, standing: &Standing, now: Timestamp) -> Decided {
    let rule = Rule::new(schedule, standing, now);
    let mut decided = Decided { decisions: Vec::new(), decided_to: standing.decided_to, more: false };
    let (mut fires, mut steps) = (0, 0);
    while let Some(due) = schedule.timetable.next_after(decided.decided_to).filter(|due| *due <= now) {
        if fires == FIRES_MAX || steps == STEP_MAX {
            decided.more = true;
            break;
        }
        steps += 1;
        decided.decided_to = due;
        match rule.at(due) {
            Ok(reason) => {
                fires += 1;
                decided.decisions.push(Decision::Fire(Fire { due, reason }));
            }
            Err(why) => skip(&mut decided.decisions, due, why),
        }
    }
    decided
}

/// One more that is skipped, in one with those before it.
fn skip(decisions: &mut Vec<Decision>, due: Timestamp, why: Why) {
    match decisions.last_mut() {
        Some(Decision::Skip(skip)) if skip.why == why => {
            skip.last = due;
            skip.count += 1;
        }
        _ => decisions.push(Decision::Skip(Skip { first: due, last: due, count: 1, why })),
    }
}

/// The table of the module's docs, for one moment.
struct Rule {
    enabled: bool,
    /// Paused after this.
    paused_at: Option<Timestamp>,
    /// What was due before this is missed.
    on_time_from: Timestamp,
    /// Of what was missed, this and later ones are caught up.
    caught_up_from: Option<Timestamp>,
    /// Why earlier ones are not.
    why: Why,
}

impl Rule {
    fn new(schedule: &Schedule, standing: &Standing, now: Timestamp) -> Self {
        let Schedule { timetable, missed, grace, enabled, .. } = schedule;
        let on_time_from = now.checked_sub(*grace).unwrap_or(Timestamp::MIN);
        let paused_at = standing.paused.as_ref().map(|pause| pause.at);
        // After this nothing is fired, whatever the policy says.
        let end = paused_at.map_or(now, |at| at.min(now));
        let missed_before = on_time_from.min(after(end));
        let is_missed = |due: &Timestamp| *due > standing.decided_to;
        let last_missed = || timetable.last_before(missed_before).filter(is_missed);
        let (caught_up_from, why) = match missed {
            _ if !enabled => (None, Why::Disabled),
            Missed::Skip => (None, Why::Missed),
            Missed::Latest => {
                let on_time = timetable.next_after(before(on_time_from)).is_some_and(|due| due <= end);
                (if on_time { None } else { last_missed() }, Why::Superseded)
            }
            Missed::All(limit) => {
                let earlier = |due: &Timestamp| timetable.last_before(*due).filter(is_missed);
                let last_ones = std::iter::successors(last_missed(), earlier).take(*limit as usize);
                (last_ones.last(), Why::BeyondLimit)
            }
        };
        Self { enabled: *enabled, paused_at, on_time_from, caught_up_from, why }
    }

    fn at(&self, due: Timestamp) -> Result<Reason, Why> {
        if !self.enabled {
            Err(Why::Disabled)
        } else if self.paused_at.is_some_and(|at| due > at) {
            Err(Why::Paused)
        } else if due >= self.on_time_from {
            Ok(Reason::OnTime)
        } else if self.caught_up_from.is_some_and(|from| due >= from) {
            Ok(Reason::CaughtUp)
        } else {
            Err(self.why)
        }
    }
}

fn after(time: Timestamp) -> Timestamp {
    time.checked_add(std::time::Duration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}

fn before(time: Timestamp) -> Timestamp {
    time.checked_sub(std::time::Duration::from_nanos(1)).unwrap_or(Timestamp::MIN)
}
