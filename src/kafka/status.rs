//! What a replica says about itself: for `/ready`, metrics and the summary at the end. Written per batch, never per record.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::incidents::Incidents;
use super::standing::{Standing, Trouble};
use crate::engine::{Census, Dependency, Disposition, Output, Time};
use crate::event::{NextOffset, TopicPartition};

/// Durations of commits that are kept until somebody takes them; further ones are not measured.
const MAX_COMMIT_TIMES: usize = 1_024;

/// Records by outcome. An outcome is counted when it is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records polled; those that a rebalance gave back and that were polled again count twice.
    pub polled: u64,
    pub processed: u64,
    pub duplicate: u64,
    pub filtered: u64,
    /// Attempts that failed and are followed by another one, in place or in a retry topic.
    pub retried: u64,
    pub dead_lettered: u64,
    pub unprocessed: u64,
    pub halted: u64,
    /// Transactions (at-least-once: commits) that were committed, and aborted.
    pub commits: u64,
    pub aborts: u64,
}

impl Counts {
    /// The outcomes in what was committed.
    pub(super) fn of<P, R>(outputs: &[Output<P, R>]) -> Self {
        let mut counts = Self::default();
        for output in outputs {
            *match output.disposition {
                Disposition::Processed => &mut counts.processed,
                Disposition::Duplicate { .. } => &mut counts.duplicate,
                Disposition::Filtered => &mut counts.filtered,
                Disposition::RetryInPlace { .. } | Disposition::RetryTopic { .. } => &mut counts.retried,
                Disposition::DeadLetter { .. } => &mut counts.dead_lettered,
                Disposition::Unprocessed => &mut counts.unprocessed,
                Disposition::Halted { .. } => &mut counts.halted,
            } += 1;
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.polled += other.polled;
        self.processed += other.processed;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.retried += other.retried;
        self.dead_lettered += other.dead_lettered;
        self.unprocessed += other.unprocessed;
        self.halted += other.halted;
        self.commits += other.commits;
        self.aborts += other.aborts;
    }
}

/// One assigned partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    pub source: TopicPartition,
    /// The committed position, as far as this replica knows.
    pub committed: NextOffset,
    /// The position after the last polled record, and after what is proven to hold none: markers of transactions behind it
    /// are no backlog.
    pub polled: NextOffset,
    /// The partition's end (last stable offset) when it was last asked for, about every second.
    pub end: Option<NextOffset>,
    /// When the oldest record was written that is polled and not resolved, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// Where its records are that are polled and have not ended.
    pub census: Census,
    /// Given back to the group as soon as it is drained.
    pub draining: bool,
    /// What its records wait for.
    pub standing: Standing,
}

impl PartitionStatus {
    /// Offsets between the committed position and the end; transaction markers count until the position passes them.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end.0 - self.committed.0).max(0))
    }
}

/// A snapshot.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The group has answered: this replica is a member, with or without partitions.
    pub member: bool,
    /// The transactional producer is initialised (always true at-least-once).
    pub producer_ready: bool,
    /// No broker answers at present.
    pub brokers_down: bool,
    /// The last problem that the client reported, if nothing has gone well since.
    pub trouble: Option<String>,
    /// After the end: as it was when it was given up.
    pub assignment: Vec<PartitionStatus>,
    /// Partitions that are ours and of which nothing is read yet.
    pub unplaced: Vec<TopicPartition>,
    /// Why it is not known yet where they begin.
    pub unplaced_because: Option<String>,
    /// When all of this was last brought up to date.
    pub looked_at: Time,
    /// It is not decided yet which partitions the replica has, or from where it reads them: an assignment that is empty, or
    /// a lag of 0, says nothing.
    pub settling: bool,
    pub counts: Counts,
    /// Where the polled records were when the assignment was last brought up to date.
    pub census: Census,
    /// Bytes of those that are not resolved.
    pub buffered_bytes: u64,
    /// Dependencies that are down.
    pub open_circuits: Vec<Dependency>,
    /// Those that were open when nothing here waited for them any more: whether they answer is not known.
    pub unneeded: Vec<Dependency>,
    /// How they failed first, where a handler said so.
    pub outages: BTreeMap<Dependency, Trouble>,
    pub incidents: Incidents,
    /// Rebalances seen.
    pub rebalances: u64,
    /// The replica is draining or has ended.
    pub ending: bool,
    /// It has ended in good order: drained, and nothing left open.
    pub ended_well: bool,
    /// Why it cannot go on.
    pub failure: Option<String>,
}

impl Status {
    /// Whether `/ready` may say yes: an assignment or a place as a standing member, and brokers that answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let placed = self.member && !(self.assignment.is_empty() && self.settling);
        placed && self.producer_ready && !self.brokers_down && !self.ending
    }

    /// Lag of all assigned partitions; `None` while one of them is unknown.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        self.assignment.iter().map(PartitionStatus::lag).sum()
    }
}

/// The shared cell behind [`Status`].
#[derive(Debug, Default)]
pub(super) struct StatusCell {
    status: Mutex<Status>,
    commit_times: Mutex<Vec<Duration>>,
    beat_us: AtomicU64,
}

impl StatusCell {
    pub(super) fn snapshot(&self) -> Status {
        self.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
    }

    /// A commit took this long, successful or not.
    pub(super) fn commit_took(&self, duration: Duration) {
        let mut times = self.commit_times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() < MAX_COMMIT_TIMES {
            times.push(duration);
        }
    }

    /// How long the commits since the last call took.
    pub(super) fn take_commit_times(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.commit_times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The poll thread is alive.
    pub(super) fn beat(&self, now: Time) {
        self.beat_us.store(now.0, Ordering::Relaxed);
    }

    /// How long ago the poll thread was last seen.
    pub(super) fn since_beat(&self, now: Time) -> Duration {
        now - Time(self.beat_us.load(Ordering::Relaxed))
    }

    /// True if this is news.
    pub(super) fn brokers_down(&self, reason: &str) -> bool {
        let mut status = self.lock();
        status.trouble = Some(reason.to_owned());
        !std::mem::replace(&mut status.brokers_down, true)
    }

    /// True if this is news.
    pub(super) fn trouble(&self, reason: &str) -> bool {
        let mut status = self.lock();
        let news = status.trouble.as_deref() != Some(reason);
        status.trouble = Some(reason.to_owned());
        news
    }

    /// A broker has answered. True if none did until now. Other trouble stays: a missing topic is still missing.
    pub(super) fn brokers_answer(&self) -> bool {
        let mut status = self.lock();
        let were_down = std::mem::replace(&mut status.brokers_down, false);
        if were_down {
            status.trouble = None;
        }
        were_down
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        // Every change is a plain assignment, so a poisoned status is still a status.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_problem_is_no_news_until_something_went_well() {
        let cell = StatusCell::default();
        assert!(cell.brokers_down("gone"));
        assert!(!cell.brokers_down("gone"));
        assert!(cell.brokers_answer());
        assert!(cell.brokers_down("gone"));
        assert!(!cell.snapshot().is_ready());
    }

    #[test]
    fn lag_is_unknown_while_one_end_is() {
        let partition = |end| PartitionStatus {
            source: TopicPartition { topic: "t".into(), partition: 0 },
            committed: NextOffset(3),
            polled: NextOffset(5),
            end,
            oldest_ms: None,
            census: Census::default(),
            draining: false,
            standing: Standing::default(),
        };
        let status = |ends: &[Option<i64>]| Status {
            assignment: ends.iter().map(|end| partition(end.map(NextOffset))).collect(),
            ..Status::default()
        };
        assert_eq!(status(&[Some(5), Some(3)]).lag(), Some(2));
        assert_eq!(status(&[Some(5), None]).lag(), None);
    }
}
