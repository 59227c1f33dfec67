//! The reading itself: a thread that polls, and the end of a short channel.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::stretch::failed;
use super::{ScanError, Stretch};
use crate::event::{Record, TopicPartition};
use crate::kafka::heard::{self, Listener};
use crate::kafka::record::from_message;

/// Records that were read and not yet asked for.
pub(super) const AHEAD: usize = 64;
/// Without a record or an end for this long, reading is given up.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// How far reading has come, in offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Records as they are read. Dropping it ends the reading.
#[derive(Debug)]
pub struct Records {
    items: Receiver<Item>,
    left: Arc<AtomicU64>,
    total: u64,
    ended: bool,
}

#[derive(Debug)]
enum Item {
    Record(Record),
    Failed(ScanError),
    End,
}

impl Records {
    pub(super) fn start(config: ClientConfig, stretches: &[Stretch]) -> Result<Self, ScanError> {
        let total = stretches.iter().map(Stretch::len).sum();
        let left = Arc::new(AtomicU64::new(total));
        let mut topics: BTreeMap<Arc<str>, Left> = BTreeMap::new();
        for stretch in stretches.iter().filter(|stretch| !stretch.is_empty()) {
            let Stretch { source, from, to } = stretch;
            topics.entry(Arc::clone(&source.topic)).or_default().add(source.partition, from.0..to.0);
        }
        let (sender, items) = channel(AHEAD);
        let scan = Scan { items: sender, left: Arc::clone(&left) };
        std::thread::Builder::new()
            .name("coafi-scan".to_owned())
            .spawn(move || scan.run(&config, topics))
            .map_err(ScanError::Thread)?;
        Ok(Self { items, left, total, ended: false })
    }

    /// The next record; `None` when all stretches are read.
    ///
    /// # Errors
    /// See [`ScanError`]; nothing follows.
    pub async fn next(&mut self) -> Result<Option<Record>, ScanError> {
        if self.ended {
            return Ok(None);
        }
        let item = self.items.recv().await;
        self.ended = !matches!(item, Some(Item::Record(_)));
        match item {
            Some(Item::Record(record)) => Ok(Some(record)),
            Some(Item::End) => Ok(None),
            Some(Item::Failed(error)) => Err(error),
            None => Err(ScanError::Ended),
        }
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { done: self.total - self.left.load(Ordering::Relaxed).min(self.total), total: self.total }
    }
}

/// The thread's side.
struct Scan {
    items: Sender<Item>,
    left: Arc<AtomicU64>,
}

/// Nobody wants the rest.
struct Abandoned;

impl Scan {
    fn run(self, config: &ClientConfig, topics: BTreeMap<Arc<str>, Left>) {
        let consumer = match heard::listener(config) {
            Ok(consumer) => consumer,
            Err(error) => return drop(self.items.blocking_send(Item::Failed(ScanError::Client(error)))),
        };
        // One topic after another: the end-of-partition event does not name its topic.
        for (topic, left) in topics {
            match self.topic(&consumer, &topic, left) {
                Ok(Ok(())) => {}
                Ok(Err(Abandoned)) => return,
                Err(error) => return drop(self.items.blocking_send(Item::Failed(error))),
            }
        }
        // Nobody listens if it was dropped just now.
        let _ = self.items.blocking_send(Item::End);
    }

    fn topic(&self, consumer: &Listener, topic: &Arc<str>, mut left: Left) -> Result<Result<(), Abandoned>, ScanError> {
        let mut assignment = TopicPartitionList::new();
        for (partition, range) in &left.ranges {
            let from = KafkaOffset::Offset(range.iter().map(|range| range.start).min().unwrap_or_default());
            assignment.add_partition_offset(topic, *partition, from).map_err(|error| failed(topic, error))?;
        }
        consumer.assign(&assignment).map_err(|error| failed(topic, error))?;
        let mut heard = Instant::now();
        while let Some(partition) = left.first() {
            if self.items.is_closed() {
                return Ok(Err(Abandoned));
            }
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (record, _) = from_message(&message, Arc::clone(topic));
                    let (wanted, passed) = left.read(record.partition(), record.offset().0);
                    self.left.fetch_sub(passed, Ordering::Relaxed);
                    if !left.ranges.contains_key(&record.partition()) {
                        pause(consumer, topic, record.partition())?;
                    }
                    if wanted && self.items.blocking_send(Item::Record(record)).is_err() {
                        return Ok(Err(Abandoned));
                    }
                    // Not before: whoever reads may take their time.
                    heard = Instant::now();
                }
                // What follows is not committed: transaction markers, or a transaction that is still open.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.left.fetch_sub(left.ended(partition), Ordering::Relaxed);
                    heard = Instant::now();
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(ScanError::Overtaken { topic: topic.to_string() });
                    }
                    code if is_passing(code) => {}
                    _ => return Err(failed(topic, error)),
                },
                None => {}
            }
            if heard.elapsed() > STALLED_AFTER {
                let source_partition = TopicPartition { topic: Arc::clone(topic), partition };
                return Err(ScanError::Stalled { source_partition, left: left.offsets() });
            }
        }
        consumer.unassign().map_err(|error| failed(topic, error))?;
        Ok(Ok(()))
    }
}

/// What lies behind its stretch is not fetched.
fn pause(consumer: &Listener, topic: &str, partition: i32) -> Result<(), ScanError> {
    let mut one = TopicPartitionList::new();
    one.add_partition(topic, partition);
    consumer.pause(&one).map_err(|error| failed(topic, error))
}

/// librdkafka goes on by itself.
pub(super) fn is_passing(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

/// The offsets of one topic that are still to be read; a partition without any is gone.
#[derive(Debug, Default)]
struct Left {
    ranges: BTreeMap<i32, Vec<Range<i64>>>,
}

impl Left {
    fn add(&mut self, partition: i32, range: Range<i64>) {
        self.ranges.entry(partition).or_default().push(range);
    }

    fn first(&self) -> Option<i32> {
        self.ranges.keys().next().copied()
    }

    fn offsets(&self) -> u64 {
        self.ranges.values().flatten().map(length).sum()
    }

    /// Whether the offset is one of those to be read, and how many are left behind with it: a gap before it counts.
    fn read(&mut self, partition: i32, offset: i64) -> (bool, u64) {
        let Some(ranges) = self.ranges.get_mut(&partition) else { return (false, 0) };
        let (mut wanted, mut passed) = (false, 0);
        for range in &mut *ranges {
            wanted |= range.contains(&offset);
            let next = (offset + 1).clamp(range.start, range.end);
            passed += length(&(range.start..next));
            range.start = next;
        }
        ranges.retain(|range| !range.is_empty());
        if ranges.is_empty() {
            self.ranges.remove(&partition);
        }
        (wanted, passed)
    }

    /// How many offsets without a record are left behind at the partition's end.
    fn ended(&mut self, partition: i32) -> u64 {
        self.ranges.remove(&partition).iter().flatten().map(length).sum()
    }
}

fn length(range: &Range<i64>) -> u64 {
    u64::try_from(range.end - range.start).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left<const N: usize>(ranges: [(i32, Range<i64>); N]) -> Left {
        let mut left = Left::default();
        ranges.into_iter().for_each(|(partition, range)| left.add(partition, range));
        left
    }

    #[test]
    fn of_several_stretches_of_one_partition_all_are_read() {
        let mut left = left([(0, 7..8), (0, 3..4), (0, 9..10)]);
        assert_eq!(left.read(0, 3), (true, 1));
        assert_eq!(left.read(0, 5), (false, 0), "it lies between them");
        assert_eq!(left.read(0, 7), (true, 1));
        assert_eq!((left.offsets(), left.read(0, 9)), (1, (true, 1)));
        assert!(left.ranges.is_empty());
    }

    #[test]
    fn what_is_left_shrinks_to_nothing() {
        let mut left = left([(0, 5..8), (2, 0..10)]);
        assert_eq!((left.first(), left.offsets()), (Some(0), 13));
        assert_eq!(left.read(0, 6), (true, 2), "5 was compacted away");
        assert_eq!(left.read(0, 9), (false, 1), "7 too, and 9 lies behind the stretch");
        assert_eq!(left.read(0, 10), (false, 0), "fetched before the partition was paused");
        assert_eq!(left.ended(2), 10, "nothing but markers");
        assert!(left.ranges.is_empty());
    }
}
