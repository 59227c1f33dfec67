//! Questions to the brokers and the database that must not hold up the poll thread: where an assignment starts, where
//! partitions end, and whether a stretch of offsets holds no record.
//!
//! One thread, one question at a time. A question is asked again until it is answered, its subject is gone, or the replica
//! ends; each single request is bounded.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use coafi_group_member::member_id;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList, TopicPartitionListElem};
use tracing::warn;
use xxhash_rust::xxh3::Xxh3;

use super::config::{Config, Start};
use super::context::{GroupConsumer, Reporter};
use super::inbox::Input;
use super::partitions::Live;
use super::record::quietly;
use super::seat::{Generation, Seat};
use super::side::SideReader;
use super::stop::Stop;
use super::{Claims, DriverError};
use crate::engine::{Epoch, PartitionId, offset_map};
use crate::event::{NextOffset, TopicPartition};
use crate::store::Fence;

/// One request to a broker.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long committed offsets of an open transaction are waited for in one request.
const STABLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause before a question is asked again; the committed offset of an open transaction is such a case.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const RETRY_PAUSE_CAP: Duration = Duration::from_secs(2);
/// Attempts to find out where partitions begin, before it is said that they wait.
const TRIES_UNSAID: u32 = 5;
/// How long the proof of an end may take.
const PROOF_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) enum Question {
    /// Where these partitions are to be read from; the answer may be about some of them only.
    Locate { token: u64, partitions: Vec<TopicPartition>, live: Live },
    /// Their ends (last stable offsets), for the lag. Without partitions: whether any broker answers.
    Ends { partitions: Vec<(PartitionId, TopicPartition)> },
    /// Whether there is any committed record between `from` and the end.
    ProveEnd { partition: PartitionId, epoch: Epoch, source: TopicPartition, from: NextOffset, live: Live },
}

/// The answers.
pub(super) enum Found {
    Located {
        token: u64,
        partitions: Vec<Located>,
    },
    /// `None`: no answer.
    Ends(Option<Vec<(PartitionId, NextOffset)>>),
    /// `end: None`: no proof, ask again when there is a reason to.
    End {
        partition: PartitionId,
        epoch: Epoch,
        from: NextOffset,
        end: Option<NextOffset>,
    },
}

/// An assigned partition with all that its assignment needs.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) source: TopicPartition,
    pub(super) position: NextOffset,
    pub(super) metadata: String,
    pub(super) log_start: NextOffset,
    pub(super) end: NextOffset,
    pub(super) identity: u64,
    pub(super) fence: Option<Fence>,
}

pub(super) struct Lookups<P, R> {
    pub(super) config: Arc<Config>,
    pub(super) seat: Seat,
    pub(super) claims: Option<Box<dyn Claims>>,
    pub(super) answers: Sender<Input<P, R>>,
    pub(super) reporter: Reporter,
    pub(super) stop: Stop,
    pub(super) side: SideReader,
    pub(super) cluster: Option<String>,
    /// Attempts to find out where partitions begin, since the last that succeeded.
    pub(super) tries: u32,
}

impl<P, R> Lookups<P, R> {
    pub(super) fn run(mut self, questions: &Receiver<Question>) {
        while let Ok(question) = questions.recv() {
            let answer = match question {
                Question::Locate { token, partitions, live } => self
                    .locate(&partitions, &live)
                    .map(|found| found.map(|partitions| Found::Located { token, partitions })),
                Question::Ends { partitions } => Some(Ok(Found::Ends(self.ends(&partitions)))),
                Question::ProveEnd { partition, epoch, source, from, live } => {
                    let end = self.prove_end(&source, from, &live);
                    Some(Ok(Found::End { partition, epoch, from, end }))
                }
            };
            let input = match answer {
                Some(Ok(found)) => Input::Found(found),
                Some(Err(error)) => Input::Failed(error),
                None => return,
            };
            if self.answers.send(input).is_err() {
                return;
            }
        }
    }

    /// Without an answer it is an empty one, after a pause: whoever asks knows best what is to be asked for by then. `None`
    /// when the replica ends.
    fn locate(&mut self, partitions: &[TopicPartition], live: &Live) -> Option<Result<Vec<Located>, DriverError>> {
        let message = match self.try_locate(partitions, live) {
            Ok(found) => {
                if std::mem::take(&mut self.tries) > 0 {
                    self.reporter.status.update(|status| status.unplaced_because = None);
                }
                return Some(found);
            }
            Err(message) => message,
        };
        self.tries = self.tries.saturating_add(1);
        self.reporter.status.update(|status| status.unplaced_because = Some(message.clone()));
        // The first few are a matter of course while a transaction of a predecessor is being ended.
        if self.tries == TRIES_UNSAID {
            warn!(group = self.config.group, "partitions wait for where they begin: {message}");
        }
        let pause = RETRY_PAUSE.saturating_mul(1 << self.tries.min(TRIES_UNSAID)).min(RETRY_PAUSE_CAP);
        (!self.stop.wait(pause)).then(|| Ok(Vec::new()))
    }

    /// Outer error: try again. Inner error: no use.
    fn try_locate(
        &mut self,
        partitions: &[TopicPartition],
        live: &Live,
    ) -> Result<Result<Vec<Located>, DriverError>, String> {
        let cluster = self.cluster()?;
        let consumer = self.seat.consumer();
        let member = member_id(&consumer);
        let starts = self.offsets_at(partitions, KafkaOffset::Beginning).map_err(text)?;
        let ends = self.offsets_at(partitions, KafkaOffset::End).map_err(text)?;
        let committed = self.committed(partitions)?;
        if self.config.start == Start::Latest {
            let without: Vec<_> = partitions.iter().zip(&ends).filter(|(p, _)| has_none(&committed, p)).collect();
            begin_at(&consumer, member.as_deref(), &without, live)?;
        }
        let known: Vec<TopicPartition> =
            partitions.iter().filter(|p| committed.find_partition(&p.topic, p.partition).is_some()).cloned().collect();
        let mut fences = self.claim(&known);
        let mut located = Vec::with_capacity(partitions.len());
        for ((source, log_start), end) in partitions.iter().zip(starts).zip(ends) {
            let Some(element) = committed.find_partition(&source.topic, source.partition) else { continue };
            element.error().map_err(text)?;
            let (position, metadata) = match (element.offset(), self.config.start) {
                (KafkaOffset::Offset(offset), _) => (NextOffset(offset), metadata_of(&element)),
                (_, Start::Earliest) => (log_start, String::new()),
                (_, Start::Latest) => (end, String::new()),
            };
            if position > end {
                return Ok(Err(DriverError::PositionBeyondEnd {
                    topic: source.topic.to_string(),
                    partition: source.partition,
                    position,
                    end,
                }));
            }
            let identity = identity(&cluster, source);
            if let Some(version) = offset_map::newer_version(&metadata, identity, position) {
                let (topic, partition) = (source.topic.to_string(), source.partition);
                return Ok(Err(DriverError::NewerOffsetMap { topic, partition, position, version }));
            }
            let fence = fences
                .iter()
                .position(|f| *f.topic == *source.topic && f.partition == source.partition)
                .map(|place| fences.swap_remove(place));
            located.push(Located { source: source.clone(), position, metadata, log_start, end, identity, fence });
        }
        Ok(Ok(located))
    }

    /// The committed offsets of these partitions, or of those of them that have one now. Brokers do not answer a request as
    /// long as one of its offsets belongs to an open transaction, such as that of a replica that was killed: then each
    /// partition is asked for by itself, so that one waits and not all.
    fn committed(&self, partitions: &[TopicPartition]) -> Result<TopicPartitionList, String> {
        let ask = |partitions: &[TopicPartition], timeout| {
            self.seat.consumer().committed_offsets(list_of(partitions, KafkaOffset::Invalid), timeout)
        };
        let error = match ask(partitions, STABLE_TIMEOUT) {
            Ok(all) => return Ok(all),
            Err(error) if partitions.len() == 1 => return Err(unanswered(partitions, &error)),
            Err(error) => error,
        };
        let mut known = TopicPartitionList::new();
        for partition in partitions.iter().take_while(|_| !self.stop.is_set()) {
            let Ok(one) = ask(std::slice::from_ref(partition), STABLE_TIMEOUT / 2) else { continue };
            for element in one.elements() {
                let (topic, number) = (element.topic(), element.partition());
                let mut copy = known.add_partition(topic, number);
                copy.set_offset(element.offset()).map_err(text)?;
                copy.set_metadata(metadata_of(&element));
            }
        }
        if known.count() == 0 { Err(unanswered(partitions, &error)) } else { Ok(known) }
    }

    /// The database's claims. Without an answer there are none, so that routes that do not need it go on: those that do
    /// wait for it, and the first write after that is refused, which has the partition claimed (see `placing`).
    fn claim(&self, partitions: &[TopicPartition]) -> Vec<Fence> {
        let Some(claims) = &self.claims else { return Vec::new() };
        let wanted: Vec<_> = partitions.iter().map(|p| (p.topic.to_string(), p.partition, 0)).collect();
        claims.claim(&self.config.group, &wanted).unwrap_or_else(|error| {
            let (group, partitions) = (&self.config.group, partitions.len());
            warn!(group, partitions, "assigned without the database's claim, routes that need it wait: {error}");
            Vec::new()
        })
    }

    fn cluster(&mut self) -> Result<String, String> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.clone());
        }
        let cluster =
            self.seat.consumer().client().fetch_cluster_id(REQUEST_TIMEOUT).ok_or("no broker names its cluster")?;
        self.cluster = Some(cluster.clone());
        Ok(cluster)
    }

    /// One request for all partitions: ListOffsets understands "beginning" and "end" as times.
    fn offsets_at(&self, partitions: &[TopicPartition], at: KafkaOffset) -> KafkaResult<Vec<NextOffset>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.seat.consumer().offsets_for_times(list_of(partitions, at), REQUEST_TIMEOUT)?;
        partitions
            .iter()
            .map(|p| {
                let element = answer
                    .find_partition(&p.topic, p.partition)
                    .ok_or(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::UnknownPartition))?;
                element.error()?;
                match element.offset() {
                    KafkaOffset::Offset(offset) => Ok(NextOffset(offset)),
                    _ => Err(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::OffsetNotAvailable)),
                }
            })
            .collect()
    }

    /// Without an answer the lag is what it was; whoever watches sees the brokers' state beside it.
    fn ends(&self, partitions: &[(PartitionId, TopicPartition)]) -> Option<Vec<(PartitionId, NextOffset)>> {
        if partitions.is_empty() {
            let topic = self.config.topics.first().map(String::as_str);
            return self.seat.consumer().fetch_metadata(topic, REQUEST_TIMEOUT).is_ok().then(Vec::new);
        }
        let sources: Vec<_> = partitions.iter().map(|(_, source)| source.clone()).collect();
        let ends = self.offsets_at(&sources, KafkaOffset::End).ok()?;
        Some(partitions.iter().map(|(id, _)| *id).zip(ends).collect())
    }

    /// The end-of-partition event does not name its topic, and the client does not pass on the offset behind transaction
    /// markers. So: ask for the last stable offset, then read from `from` with a consumer of our own. If that reaches an
    /// end (which cannot lie before the offset asked for earlier) without a record, there is none in between.
    fn prove_end(&mut self, source: &TopicPartition, from: NextOffset, live: &Live) -> Option<NextOffset> {
        let end = *self.offsets_at(std::slice::from_ref(source), KafkaOffset::End).ok()?.first()?;
        if end <= from {
            return Some(from);
        }
        let side = self.side.reader().ok()?;
        let empty = is_empty_from(side, source, from, live);
        let done = side.unassign();
        if done.is_err() || empty.is_none() && !live.is_over() {
            self.side.replace();
        }
        (empty == Some(true)).then_some(end)
    }
}

/// librdkafka asks again as long as a transaction holds an offset, and says in the end that the time is over.
fn unanswered(partitions: &[TopicPartition], error: &KafkaError) -> String {
    let (first, more) = (&partitions[0], partitions.len() - 1);
    let others = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "the committed offset of {}[{}]{others} is not given: a transaction that has not ended holds it, or the group's \
         coordinator is away ({error}); docs/operations.md says what to do if it lasts",
        first.topic, first.partition
    )
}

/// Whether it is known that nothing was committed of `partition` yet.
fn has_none(committed: &TopicPartitionList, partition: &TopicPartition) -> bool {
    let element = committed.find_partition(&partition.topic, partition.partition);
    element.is_some_and(|element| element.error().is_ok() && !matches!(element.offset(), KafkaOffset::Offset(_)))
}

/// Commits where partitions begin at their ends, before they are read. Whoever had them next, this member after a restart or
/// another one, would begin at the end of its own day else, behind what came meanwhile.
fn begin_at(
    consumer: &Arc<GroupConsumer>,
    member: Option<&str>,
    partitions: &[(&TopicPartition, &NextOffset)],
    live: &Live,
) -> Result<(), String> {
    if partitions.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (partition, end) in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, KafkaOffset::Offset(end.0)).map_err(text)?;
    }
    // Kafka takes a commit of any member of the generation, whosever the partition is.
    if live.is_over() || Generation::of(consumer, member).is_none() {
        return Err("the assignment was lost meanwhile".to_owned());
    }
    consumer.commit(&list, CommitMode::Sync).map_err(text)
}

/// `None` if the reader says nothing.
fn is_empty_from(
    side: &BaseConsumer<Reporter>,
    source: &TopicPartition,
    from: NextOffset,
    live: &Live,
) -> Option<bool> {
    side.assign(&list_of(std::slice::from_ref(source), KafkaOffset::Offset(from.0))).ok()?;
    let deadline = std::time::Instant::now() + PROOF_TIMEOUT;
    while std::time::Instant::now() < deadline && !live.is_over() {
        match side.poll(Duration::from_millis(50)) {
            Some(Err(KafkaError::PartitionEOF(_))) => return Some(true),
            Some(Ok(_)) => return Some(false),
            Some(Err(_)) | None => {}
        }
    }
    None
}

/// Foreign metadata that is not text (rust-rdkafka panics on it) is as good as none.
#[must_use]
pub fn metadata_of(element: &TopicPartitionListElem<'_>) -> String {
    quietly(|| element.metadata().to_owned()).unwrap_or_default()
}

/// A list of partitions, each at the same offset.
pub(super) fn list_of(partitions: &[TopicPartition], offset: KafkaOffset) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, offset)
            .expect("a valid offset and a partition that was just added");
    }
    list
}

/// What an offset map belongs to. The client does not tell topic ids, so a topic that was made anew under its old name
/// differs only by its position (see `DriverError::PositionBeyondEnd`).
fn identity(cluster: &str, source: &TopicPartition) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(cluster.as_bytes());
    hasher.update(&[0]);
    hasher.update(source.topic.as_bytes());
    hasher.update(&source.partition.to_le_bytes());
    hasher.digest()
}

fn text(error: KafkaError) -> String {
    error.to_string()
}
