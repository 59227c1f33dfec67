//! Why a partition does not move: the first of these that holds.
//!
//! | what is found | reason |
//! |---|---|
//! | the topic does not exist | `missing_topic` |
//! | nothing is left, and no transaction is open for long | none: it moves |
//! | a transaction has been open for long, and all before it is done | `open_transaction` |
//! | retention has passed the position, and nobody has the partition | `passed` |
//! | nobody has it | `nobody`, `rebalancing` or `unowned`, by the state of the group |
//! | its replica reports nothing, or has not for long | `unreported`, `not_reporting` |
//! | its replica has failed, its poll loop hangs, it cannot work | `failed`, `hangs`, `trouble` |
//! | the replica names a reason | that one, see [`rank`] |
//! | nothing of it is fetched for long | `not_fetched` |
//! | its lowest record has been the same for long | `stands` |
//! | none of these | none: it moves |
//!
//! Reasons that pass by themselves in good times (a handler, a free slot, a commit) count only when the lowest record has
//! been the same for [`STANDS_AFTER_MS`]; those that want a person, or a time to come, count at once.

use serde::Serialize;

use super::view::part_of;
use super::wording::{Text, Words};
use super::{Owner, View};
use crate::kafka::{OpenTransaction, PartitionOffsets};
use crate::schema::payloads::{ReplicaPartition, ReplicaReason, ReplicaStatus};

/// A position that does not move for this long stands.
pub(super) const STANDS_AFTER_MS: i64 = 5_000;
/// A transaction of a healthy producer is over long before.
const OPEN_AFTER_MS: i64 = 5_000;
/// The poll loop comes round several times a second.
const HANGS_AFTER_MS: i64 = 3_000;

/// A partition that does not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub topic: String,
    /// `None`: the whole topic.
    pub partition: Option<i32>,
    /// Offsets from the position to the end.
    pub lag: u64,
    /// The replica that has it.
    pub replica: Option<String>,
    /// A word for programs; see the table.
    pub reason: String,
    /// The record that stands, where one does.
    pub offset: Option<i64>,
    /// Since when, in milliseconds since the Unix epoch, where that is known.
    pub since_ms: Option<i64>,
    #[serde(flatten)]
    pub text: Text,
}

/// Every partition that does not move, in order of topic and partition.
#[must_use]
pub fn why(view: &View<'_>) -> Vec<Finding> {
    let missing = view.facts.missing.iter().map(|topic| Finding {
        topic: topic.clone(),
        partition: None,
        lag: 0,
        replica: None,
        reason: "missing_topic".to_owned(),
        offset: None,
        since_ms: None,
        text: Words::MISSING_TOPIC.text(&[("topic", topic)]),
    });
    missing.chain(view.facts.lag.partitions.iter().filter_map(|offsets| of_partition(view, offsets))).collect()
}

fn of_partition(view: &View<'_>, offsets: &PartitionOffsets) -> Option<Finding> {
    let about = About { view, offsets };
    let lag = offsets.lag();
    let open = view.facts.open.get(&(offsets.topic.clone(), offsets.partition));
    let open = open.filter(|open| open.since_ms.is_some_and(|since| view.now_ms - since > OPEN_AFTER_MS));
    if lag == 0 {
        return open.map(|open| about.open(open));
    }
    match view.owner(offsets) {
        Owner::Nobody { last } => Some(about.nobody(last)),
        Owner::Silent(member) => {
            let words = [("replica", &*member.client_id), ("host", &*member.host)];
            Some(about.finding("unreported", Some(&member.client_id), None, None, Words::UNREPORTED.text(&words)))
        }
        Owner::Known { report, .. } => {
            about.replica(report).or_else(|| about.partition(report)).or_else(|| open.map(|open| about.open(open)))
        }
    }
}

/// One partition, and everything about it.
struct About<'a> {
    view: &'a View<'a>,
    offsets: &'a PartitionOffsets,
}

impl About<'_> {
    fn finding(
        &self,
        reason: &str,
        replica: Option<&str>,
        offset: Option<i64>,
        since_ms: Option<i64>,
        text: Text,
    ) -> Finding {
        Finding {
            topic: self.offsets.topic.clone(),
            partition: Some(self.offsets.partition),
            lag: self.offsets.lag(),
            replica: replica.map(str::to_owned),
            reason: reason.to_owned(),
            offset,
            since_ms,
            text,
        }
    }

    fn age(&self, since_ms: i64) -> String {
        super::span(self.view.now_ms - since_ms)
    }

    fn open(&self, open: &OpenTransaction) -> Finding {
        let age = open.since_ms.map_or_else(|| "some time".to_owned(), |since| self.age(since));
        let (from, count) = (open.from.to_string(), (open.to - open.from).to_string());
        let text = Words::OPEN_TRANSACTION.text(&[("offset", &from), ("age", &age), ("count", &count)]);
        self.finding("open_transaction", None, Some(open.from), open.since_ms, text)
    }

    fn nobody(&self, last: Option<&ReplicaStatus>) -> Finding {
        let PartitionOffsets { committed, start, .. } = self.offsets;
        if let Some(position) = committed.filter(|position| position < start) {
            let (position_, start) = (position.to_string(), start.to_string());
            let text = Words::PASSED.text(&[("offset", &position_), ("start", &start)]);
            return self.finding("passed", None, Some(position), None, text);
        }
        let state = &*self.view.facts.membership.state;
        let (reason, words) = match (state, last) {
            ("PreparingRebalance" | "CompletingRebalance", _) => ("rebalancing", Words::REBALANCING),
            ("Stable", _) => ("unowned", Words::UNOWNED),
            (_, None) => ("nobody", Words::NOBODY),
            (_, Some(_)) => ("nobody", Words::NOBODY_ANY_MORE),
        };
        let mut values = vec![("group", self.view.group.to_owned()), ("topic", self.offsets.topic.clone())];
        if let Some(last) = last {
            values.push(("age", self.age(last.reported_at)));
            values.extend(of_replica(last));
            let ended = last.trouble.as_ref().filter(|_| last.state == "failed");
            values.push(("ended", ended.map_or_else(String::new, |trouble| format!(" It ended: {trouble}."))));
        }
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, &**value)).collect();
        let since_ms = last.map(|last| last.reported_at);
        self.finding(reason, last.map(|last| &*last.slot), None, since_ms, words.text(&values))
    }

    /// What concerns the replica as a whole.
    fn replica(&self, report: &ReplicaStatus) -> Option<Finding> {
        let trouble = report.trouble.as_deref();
        let silent_ms = self.view.now_ms - report.reported_at;
        let names_it = part_of(report, &self.offsets.topic, self.offsets.partition).is_some();
        let (reason, words, since_ms) = if self.view.is_stale(report) && !names_it {
            // It was frozen or cut off before its first report with the partition; the last one may be of the process before.
            ("not_reporting", Words::NOT_REPORTING_YET, report.reported_at)
        } else if self.view.is_stale(report) {
            ("not_reporting", Words::NOT_REPORTING, report.reported_at)
        } else if report.state == "failed" {
            ("failed", Words::FAILED, report.reported_at)
        } else if report.reported_at - report.turned_at > HANGS_AFTER_MS {
            ("hangs", Words::HANGS, report.turned_at)
        } else if report.state == "joining" && trouble.is_some() {
            ("trouble", Words::TROUBLE, report.reported_at)
        } else {
            return None;
        };
        let age =
            super::span(if reason == "hangs" { silent_ms.max(0) + report.reported_at - since_ms } else { silent_ms });
        let mut values = of_replica(report);
        values.extend([("age", age), ("trouble", trouble.unwrap_or("it does not say why").to_owned())]);
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, &**value)).collect();
        Some(self.finding(reason, Some(&report.slot), None, Some(since_ms), words.text(&values)))
    }

    /// What the replica says of the partition.
    fn partition(&self, report: &ReplicaStatus) -> Option<Finding> {
        let said = part_of(report, &self.offsets.topic, self.offsets.partition)?;
        let stands_ms = said.head_since.map_or(0, |since| self.view.now_ms - since);
        let counts = |reason: &&ReplicaReason| match rank(&reason.kind) {
            Rank::AtOnce(_) => true,
            Rank::OfTheLowest(_) => reason.offset.is_some() && reason.offset == said.head,
            Rank::WhenItStands(_) => stands_ms > STANDS_AFTER_MS,
        };
        let top = said.reasons.iter().filter(counts).min_by_key(|reason| rank(&reason.kind));
        if let Some(reason) = top {
            let since_ms = reason.since.or(said.head_since);
            let text = super::wording::of_reason(reason, report, said, self.view.now_ms);
            return Some(self.finding(&reason.kind, Some(&report.slot), reason.offset, since_ms, text));
        }
        self.without_a_reason(report, said, stands_ms)
    }

    fn without_a_reason(&self, report: &ReplicaStatus, said: &ReplicaPartition, stands_ms: i64) -> Option<Finding> {
        let old = self.offsets.oldest_ms.filter(|at| self.view.now_ms - at > 2 * STANDS_AFTER_MS);
        let replica = Some(&*report.slot);
        if let (Some(head), Some(since)) = (said.head, said.head_since)
            && stands_ms > STANDS_AFTER_MS
        {
            let (offset, age) = (head.to_string(), self.age(since));
            let values = [("offset", &*offset), ("age", &*age), ("replica", &*report.slot)];
            return Some(self.finding("stands", replica, Some(head), Some(since), Words::STANDS.text(&values)));
        }
        let idle = said.head.is_none() && said.polled == self.offsets.committed;
        let old = old.filter(|_| idle && report.looked_at - report.started_at > 2 * STANDS_AFTER_MS)?;
        let age = self.age(old);
        let text = Words::NOT_FETCHED.text(&[("age", &age), ("replica", &report.slot)]);
        Some(self.finding("not_fetched", replica, self.offsets.committed, Some(old), text))
    }
}

fn of_replica(report: &ReplicaStatus) -> Vec<(&'static str, String)> {
    vec![("replica", report.slot.clone()), ("host", report.host.clone()), ("pid", report.pid.to_string())]
}

/// When a reason counts; those that explain the most come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It wants a person, or lasts.
    AtOnce(u8),
    /// It concerns its lane; the others go on.
    OfTheLowest(u8),
    /// It passes by itself in good times.
    WhenItStands(u8),
}

fn rank(kind: &str) -> Rank {
    match kind {
        "unplaced" => Rank::AtOnce(0),
        "events_lost" => Rank::AtOnce(1),
        "halted" => Rank::AtOnce(2),
        "disabled" => Rank::AtOnce(3),
        "outage" => Rank::AtOnce(4),
        "draining" => Rank::AtOnce(5),
        "parked" => Rank::OfTheLowest(0),
        "receipts" => Rank::WhenItStands(0),
        "window_full" => Rank::WhenItStands(1),
        "alone" => Rank::WhenItStands(2),
        "undecided" => Rank::WhenItStands(3),
        "handler" => Rank::WhenItStands(4),
        "receipt" => Rank::WhenItStands(5),
        "rebuilding" => Rank::WhenItStands(6),
        "commit" => Rank::WhenItStands(7),
        "tenant" => Rank::WhenItStands(8),
        "slot" => Rank::WhenItStands(9),
        "marking" => Rank::WhenItStands(10),
        _ => Rank::WhenItStands(11),
    }
}

#[cfg(test)]
mod tests;
