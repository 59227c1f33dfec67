//! `coafi group why`.

use clap::Args;
use serde::Serialize;

use super::{Asked, Context, Exit, Failure, TIMEOUT, blocking, consumed, decoded, incomplete};
use crate::app::STATUS_TOPIC;
use crate::group::{Finding, Text, View, span, why};
use crate::kafka::group_facts;
use crate::runtime::unix_ms;
use crate::schema::payloads::ReplicaStatus;

/// Why partitions do not move, and what to do.
///
/// For each partition that has records left and does not move: the reason in a sentence, and what to do about it. Replicas
/// say every second in topic coafi.status what their records wait for; what they said last, and how long ago that was, is
/// put together with what Kafka knows of the group. So it works while a replica hangs, and while the database or the schema
/// registry is away.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  coafi group why
  coafi group why --topic coafi.git
  coafi group why --output json | jq -r '.partitions[].reason' | sort | uniq -c

Exit codes: 0 everything moves or has nothing left, 1 something stands still or a topic is not
there, 2 the command line is wrong, 3 Kafka does not answer.")]
pub(in crate::cli) struct Why {
    #[command(flatten)]
    asked: Asked,
}

/// The JSON of `coafi group why`.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    group: &'a str,
    /// Nothing stands still.
    moves: bool,
    /// How many partitions were looked at.
    looked_at: usize,
    /// What replicas said before this was not read, and some of it is missing: see [`crate::kafka::Reports`].
    reports_unread_before_ms: Option<i64>,
    /// Those that stand still.
    partitions: &'a [Finding],
    replicas: Vec<Replica<'a>>,
}

/// A replica, by its last report.
#[derive(Debug, Serialize)]
struct Replica<'a> {
    slot: &'a str,
    host: &'a str,
    pid: i64,
    version: &'a str,
    state: &'a str,
    reported_ms: i64,
    partitions: usize,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let kafka = self.asked.kafka(context);
        let (group, only, topics) = (kafka.group_id.clone(), self.asked.topics, consumed(context));
        let facts = blocking(move || group_facts(&kafka, &topics, &only, STATUS_TOPIC, TIMEOUT)).await?;
        let reports = decoded(context, &facts.reports.values).await?;
        let now_ms = unix_ms();
        let findings = why(&View { group: &group, facts: &facts, reports: &reports, now_ms });
        let shown = Shown {
            group: &group,
            moves: findings.is_empty(),
            looked_at: facts.lag.partitions.len(),
            reports_unread_before_ms: facts.reports.unread_before_ms,
            partitions: &findings,
            replicas: reports.iter().map(Replica::of).collect(),
        };
        incomplete(context, &facts.reports, now_ms);
        context.output().show(&shown, |shown| text(shown, now_ms))?;
        Ok(if shown.moves { Exit::Ok } else { Exit::No })
    }
}

impl<'a> Replica<'a> {
    fn of(report: &'a ReplicaStatus) -> Self {
        Self {
            slot: &report.slot,
            host: &report.host,
            pid: report.pid,
            version: &report.version,
            state: &report.state,
            reported_ms: report.reported_at,
            partitions: report.partitions.len(),
        }
    }
}

/// Partitions that stand for the same reason are said together.
fn text(shown: &Shown<'_>, now_ms: i64) -> String {
    let mut blocks: Vec<(&Text, Vec<&Finding>)> = Vec::new();
    for finding in shown.partitions {
        match blocks.iter_mut().find(|(text, _)| **text == finding.text) {
            Some((_, same)) => same.push(finding),
            None => blocks.push((&finding.text, vec![finding])),
        }
    }
    let mut lines: Vec<String> = Vec::new();
    for (text, same) in blocks {
        let behind: u64 = same.iter().map(|finding| finding.lag).sum();
        lines.push(format!("{}  {behind} behind", places(&same)));
        lines.push(format!("  why: {}", text.why));
        lines.push(format!("  do:  {}", text.action));
        lines.push(String::new());
    }
    for replica in &shown.replicas {
        let Replica { slot, host, pid, state, partitions, .. } = replica;
        let ago = span(now_ms - replica.reported_ms);
        lines
            .push(format!("replica {slot} (process {pid} on {host}) said {ago} ago: {state}, {partitions} partitions"));
    }
    let stand = shown.partitions.iter().filter(|finding| finding.partition.is_some()).count();
    lines.push(last_line(shown.group, stand, shown.looked_at, shown.partitions.len() - stand));
    lines.join("\n")
}

/// `missing`: topics that are not there, and so have no partitions that could stand still.
fn last_line(group: &str, stand: usize, looked_at: usize, missing: usize) -> String {
    let missing = match missing {
        0 => String::new(),
        1 => "; 1 topic is missing".to_owned(),
        several => format!("; {several} topics are missing"),
    };
    match (stand, looked_at) {
        (0, 0) => format!("group {group} has no partitions{missing}"),
        (0, all) => format!("all {all} partitions of group {group} move or have nothing left{missing}"),
        (some, all) => format!("{some} of {all} partitions of group {group} stand still{missing}"),
    }
}

/// `topic[0, 1, 5]`, by topic.
fn places(findings: &[&Finding]) -> String {
    let mut topics: Vec<(&str, Vec<String>)> = Vec::new();
    for finding in findings {
        let number = finding.partition.map(|partition| partition.to_string());
        match topics.iter_mut().find(|(topic, _)| *topic == finding.topic) {
            Some((_, numbers)) => numbers.extend(number),
            None => topics.push((&finding.topic, number.into_iter().collect())),
        }
    }
    let shown = topics.into_iter().map(|(topic, numbers)| match &numbers[..] {
        [] => topic.to_owned(),
        numbers => format!("{topic}[{}]", numbers.join(", ")),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_missing_is_no_partition_that_stands() {
        for (stand, all, missing, expected) in [
            (0, 0, 0, "group g has no partitions"),
            (0, 0, 2, "group g has no partitions; 2 topics are missing"),
            (0, 4, 1, "all 4 partitions of group g move or have nothing left; 1 topic is missing"),
            (3, 4, 0, "3 of 4 partitions of group g stand still"),
        ] {
            assert_eq!(last_line("g", stand, all, missing), expected);
        }
    }
}
