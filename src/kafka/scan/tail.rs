//! Tails a topic: from known positions on, whatever comes, until nobody wants more. Every partition, committed records only,
//! beside every group; where reading begins and what retention took before it was read is told.
//!
//! Unlike [`super::follow`] nothing is told twice and nothing left out: whoever tails keeps the positions. After trouble it
//! ends with the error, and is begun again from where the records had come to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::records::{AHEAD, is_passing};
use super::stretch::{failed, resolve};
use super::{ScanError, Wanted};
use crate::event::Record;
use crate::kafka::heard::{self, Listener};
use crate::kafka::record::from_message;

const POLL: Duration = Duration::from_millis(100);
/// Between two looks at how many partitions there are.
const PARTITIONS_EVERY: Duration = Duration::from_secs(10);
/// Trouble that librdkafka tries to get over by itself is told after this long without a record or an end.
const TROUBLE_AFTER: Duration = Duration::from_secs(15);

/// Where a topic is begun of which nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
}

/// What somebody who tails a topic is told.
#[derive(Debug)]
pub enum Tailed {
    /// A partition without a position is read from here.
    Began {
        partition: i32,
        at: i64,
    },
    /// Offsets that were to be read next are gone: from the first, before the second, from which reading goes on.
    Lost {
        partition: i32,
        from: i64,
        to: i64,
    },
    Record(Record),
    /// Every record of the partition before this offset has been told.
    Passed {
        partition: i32,
        next: i64,
    },
    /// There are more of them; begun again, it reads those too.
    MorePartitions,
    Failed(ScanError),
}

/// The end of a short channel. Dropping it ends the tailing.
#[derive(Debug)]
pub struct Tail(Receiver<Tailed>);

impl Tail {
    pub(super) fn start(
        config: ClientConfig,
        topic: &str,
        positions: BTreeMap<i32, i64>,
        start: Start,
    ) -> Result<Self, ScanError> {
        let (told, tail) = channel(AHEAD);
        let thread = Thread { config, topic: topic.into(), told };
        std::thread::Builder::new()
            .name("coafi-tail".to_owned())
            .spawn(move || match thread.run(&positions, start) {
                Ok(()) => {}
                // Nobody listens once it was dropped.
                Err(error) => drop(thread.told.blocking_send(Tailed::Failed(error))),
            })
            .map_err(ScanError::Thread)?;
        Ok(Self(tail))
    }

    /// What comes next, whenever that is; `None` once it has ended.
    pub async fn next(&mut self) -> Option<Tailed> {
        self.0.recv().await
    }

    /// What has come already.
    pub fn ready(&mut self) -> Option<Tailed> {
        self.0.try_recv().ok()
    }
}

struct Thread {
    config: ClientConfig,
    topic: Arc<str>,
    told: Sender<Tailed>,
}

/// Nobody wants more.
struct Abandoned;

impl Thread {
    fn tell(&self, told: Tailed) -> Result<(), Abandoned> {
        self.told.blocking_send(told).map_err(|_| Abandoned)
    }

    /// Until nobody wants more or there are more partitions.
    fn run(&self, positions: &BTreeMap<i32, i64>, start: Start) -> Result<(), ScanError> {
        let consumer = heard::listener(&self.config).map_err(ScanError::Client)?;
        let tailed = self.assign(&consumer, positions, start).and_then(|assigned| match assigned {
            Ok(count) => self.poll(&consumer, count),
            Err(Abandoned) => Ok(()),
        });
        tailed.map_err(|error| error.heard_by(&consumer))
    }

    /// How many partitions there are.
    fn assign(
        &self,
        consumer: &Listener,
        positions: &BTreeMap<i32, i64>,
        start: Start,
    ) -> Result<Result<usize, Abandoned>, ScanError> {
        let limits = resolve(consumer, &Wanted::all(&self.topic))?;
        // What was added since something was read is read from its beginning, or records of it would be skipped.
        let start = if positions.is_empty() { start } else { Start::Earliest };
        let mut assignment = TopicPartitionList::new();
        for limit in &limits {
            let (partition, oldest, end) = (limit.source.partition, limit.from.0, limit.to.0);
            let (at, told) = match positions.get(&partition) {
                Some(&position) if (oldest..=end).contains(&position) => (position, None),
                Some(&position) => (oldest, Some(Tailed::Lost { partition, from: position, to: oldest })),
                None => {
                    let at = if start == Start::Latest { end } else { oldest };
                    (at, Some(Tailed::Began { partition, at }))
                }
            };
            if let Some(told) = told
                && self.tell(told).is_err()
            {
                return Ok(Err(Abandoned));
            }
            assignment
                .add_partition_offset(&self.topic, partition, KafkaOffset::Offset(at))
                .map_err(|error| failed(&self.topic, error))?;
        }
        consumer.assign(&assignment).map_err(|error| failed(&self.topic, error))?;
        Ok(Ok(limits.len()))
    }

    fn poll(&self, consumer: &Listener, count: usize) -> Result<(), ScanError> {
        let (mut looked, mut trouble) = (Instant::now(), None::<Instant>);
        loop {
            let told = match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    trouble = None;
                    Some(Tailed::Record(from_message(&message, Arc::clone(&self.topic)).0))
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    trouble = None;
                    self.position(consumer, partition).map(|next| Tailed::Passed { partition, next })
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(ScanError::Overtaken { topic: self.topic.to_string() });
                    }
                    code if is_passing(code) && trouble.get_or_insert_with(Instant::now).elapsed() < TROUBLE_AFTER => {
                        None
                    }
                    _ => return Err(failed(&self.topic, error)),
                },
                None => None,
            };
            if told.is_some_and(|told| self.tell(told).is_err()) || self.told.is_closed() {
                return Ok(());
            }
            if looked.elapsed() > PARTITIONS_EVERY {
                looked = Instant::now();
                // While nobody answers there is nothing new either.
                let now = super::stretch::partitions(consumer, &self.topic);
                if now.is_ok_and(|now| usize::try_from(now).is_ok_and(|now| now > count)) {
                    // Nobody listens if it was dropped just now.
                    let _ = self.tell(Tailed::MorePartitions);
                    return Ok(());
                }
            }
        }
    }

    /// Behind the markers at the partition's end too, as far as librdkafka counts them as read.
    fn position(&self, consumer: &Listener, partition: i32) -> Option<i64> {
        let positions = consumer.position().ok()?;
        match positions.find_partition(&self.topic, partition)?.offset() {
            KafkaOffset::Offset(next) => Some(next),
            _ => None,
        }
    }
}
