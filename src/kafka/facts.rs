//! What Kafka knows of a consumer group, and what its replicas have published of themselves: all that there is to say why a
//! partition does not move, from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::lag::{Isolation, Patience, TOPICS, asked_partitions, committed, in_background, lag, reader, scanner};
use super::latest::{Latest, Values, latest};
use super::members::Membership;
use super::{GroupLag, LagError, PartitionOffsets, oldest};
use crate::config::Kafka;
use crate::runtime::unix_ms;

/// For the replicas' reports; those that have not come by then are missing.
pub const REPORTS_WAIT: Duration = Duration::from_secs(5);
/// For the ages of open transactions.
const OPEN_WAIT: Duration = Duration::from_secs(2);

/// A group from outside.
#[derive(Clone, Debug, Default)]
pub struct GroupFacts {
    /// Partitions of the named topics, and all others in which the group has committed or that a member has.
    pub lag: GroupLag,
    /// Named topics that do not exist.
    pub missing: Vec<String>,
    pub membership: Membership,
    /// Transactions that keep readers from going on, by topic and partition.
    pub open: BTreeMap<(String, i32), OpenTransaction>,
    pub reports: Reports,
}

/// What the replicas of a group have published of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// As they are in the topic; none if there is no such topic.
    pub values: Vec<Vec<u8>>,
    /// Some that are asked for were not found, and what was published before this was not read: there is too much of it, or
    /// the topic cannot be read. In milliseconds since the Unix epoch.
    pub unread_before_ms: Option<i64>,
}

/// Records behind the last stable offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Where the first of them is.
    pub from: i64,
    /// The position after the last.
    pub to: i64,
    /// When the first of them was written, in milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
}

/// Asks for everything about `kafka.group_id`. `topics`: those that the group is to handle, whether it has begun or not;
/// `only` one of these if there are any. `reports`: the compacted topic that replicas publish their status to. Blocks, as
/// [`group_lag`](super::group_lag) does.
///
/// # Errors
/// The brokers do not answer.
pub fn group_facts(
    kafka: &Kafka,
    topics: &[String],
    only: &[String],
    reports: &str,
    timeout: Duration,
) -> Result<GroupFacts, LagError> {
    let (kafka_, topics, only, reports) = (kafka.clone(), topics.to_vec(), only.to_vec(), reports.to_owned());
    in_background(kafka, timeout * 6, move |clients| {
        let patience = Patience::new(&kafka_, timeout);
        let consumer = clients.add(reader(&kafka_, Isolation::Committed)?);
        let asked = Membership::ask(consumer, &kafka_.group_id, patience.left());
        let membership = asked.map_err(patience.unavailable("who is in the group"))?;
        let mut names: BTreeSet<String> = topics.into_iter().collect();
        names.extend(membership.members.iter().flat_map(|member| member.partitions.keys().cloned()));
        names.extend(committed_topics(consumer, &patience)?);
        names.retain(|name| only.is_empty() || only.contains(name));
        names.extend(only);
        let names: Vec<String> = names.into_iter().collect();
        if names.is_empty() {
            return Ok(GroupFacts { membership, ..GroupFacts::default() });
        }
        let asked = asked_partitions(consumer, &names, patience.left()).map_err(patience.unavailable(TOPICS))?;
        let lag = lag(consumer, asked.partitions, true, &patience)?;
        let has_an_owner = |p: &PartitionOffsets| p.lag() == 0 || membership.owner(&p.topic, p.partition).is_some();
        // Whoever had what nobody has now may have said its last long ago.
        let all = !lag.partitions.iter().all(has_an_owner);
        let is_missing = |found: &Values| all || !has_all(found, &kafka_.group_id, &membership);
        let consumer = clients.add(scanner(&kafka_)?);
        let reports = group_reports(consumer, &reports, &kafka_.group_id, REPORTS_WAIT, is_missing);
        let uncommitted = clients.add(reader(&kafka_, Isolation::Uncommitted)?);
        let open = open_transactions(uncommitted, &lag.partitions, &patience)?;
        Ok(GroupFacts { lag, missing: asked.unknown, membership, open, reports })
    })
}

/// Topics in which `kafka.group_id` has committed. Blocks, as [`group_lag`](super::group_lag) does.
///
/// # Errors
/// The brokers do not answer.
pub fn group_topics(kafka: &Kafka, timeout: Duration) -> Result<BTreeSet<String>, LagError> {
    let asked = kafka.clone();
    in_background(kafka, timeout * 5, move |clients| {
        let consumer = clients.add(reader(&asked, Isolation::Committed)?);
        committed_topics(consumer, &Patience::new(&asked, timeout))
    })
}

/// Who is in `kafka.group_id`, and what these members have published of themselves, as far as it is read within `wait`. Nothing
/// if it cannot be read: whoever asks can do without.
#[must_use]
pub fn replica_reports(kafka: &Kafka, topic: &str, wait: Duration) -> (Membership, Reports) {
    let (kafka_, topic) = (kafka.clone(), topic.to_owned());
    let read = in_background(kafka, REPORTS_WAIT + wait, move |clients| {
        let consumer = clients.add(scanner(&kafka_)?);
        let membership = Membership::ask(consumer, &kafka_.group_id, REPORTS_WAIT).unwrap_or_default();
        let is_missing = |found: &Values| !has_all(found, &kafka_.group_id, &membership);
        let reports = group_reports(consumer, &topic, &kafka_.group_id, wait, is_missing);
        Ok((membership, reports))
    });
    read.unwrap_or_default()
}

/// The group's reports, read back for as long as one of them is missing.
fn group_reports(
    consumer: &BaseConsumer,
    topic: &str,
    group: &str,
    wait: Duration,
    is_missing: impl Fn(&Values) -> bool,
) -> Reports {
    // The last `/` divides group and slot, see `Config::transactional_id`.
    let is_of_group =
        |key: &[u8]| key.iter().rposition(|byte| *byte == b'/').is_some_and(|at| &key[..at] == group.as_bytes());
    let now_ms = unix_ms();
    let read = latest(consumer, topic, now_ms, Instant::now() + wait, is_missing);
    let nothing = Latest { unread_before_ms: Some(now_ms), ..Latest::default() };
    let Latest { values, unread_before_ms } = read.unwrap_or(nothing);
    let values = values.into_iter().filter(|(key, _)| is_of_group(key)).filter_map(|(_, value)| value).collect();
    Reports { values, unread_before_ms }
}

/// Whether every member has said something, if only that it has ended. One with a `client.id` of the configuration is not
/// known by it, and everything is read; so it is where Kafka does not say who they are.
fn has_all(found: &Values, group: &str, membership: &Membership) -> bool {
    let mut keys = membership.members.iter().map(|member| format!("{group}/{}", member.slot()));
    !membership.state.is_empty() && keys.all(|key| found.contains_key(key.as_bytes()))
}

fn committed_topics(consumer: &BaseConsumer, patience: &Patience) -> Result<BTreeSet<String>, LagError> {
    let all = asked_partitions(consumer, &[], patience.left()).map_err(patience.unavailable(TOPICS))?;
    let committed = committed(consumer, all.partitions, patience)?;
    let known =
        committed.elements().into_iter().filter(|element| matches!(element.offset(), rdkafka::Offset::Offset(_)));
    Ok(known.map(|element| element.topic().to_owned()).collect())
}

/// `uncommitted` sees what readers of committed records do not see yet.
fn open_transactions(
    uncommitted: &BaseConsumer,
    partitions: &[PartitionOffsets],
    patience: &Patience,
) -> Result<BTreeMap<(String, i32), OpenTransaction>, LagError> {
    let mut behind = Vec::new();
    for known in partitions {
        let ends = uncommitted.fetch_watermarks(&known.topic, known.partition, patience.left());
        let (start, end) = ends.map_err(patience.unavailable("where a partition ends"))?;
        if end > known.end {
            behind.push(PartitionOffsets { committed: Some(known.end), start, end, oldest_ms: None, ..known.clone() });
        }
    }
    let until = Instant::now() + patience.left().min(OPEN_WAIT);
    oldest::fill(uncommitted, &mut behind, until).map_err(patience.unavailable("how old open transactions are"))?;
    let open = behind.into_iter().map(|p| {
        let open = OpenTransaction { from: p.committed.unwrap_or(p.start), to: p.end, since_ms: p.oldest_ms };
        ((p.topic, p.partition), open)
    });
    Ok(open.collect())
}
