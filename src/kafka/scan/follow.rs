//! Follows a topic: what is there from a bound on, and then what comes, until nobody wants more. Every partition, also those
//! that are added later; committed records only; beside every group.
//!
//! After trouble (no such topic, records that retention took before they were read) it begins again a little before the last
//! record that it saw, so a record may come twice; none is left out but those that are gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::records::AHEAD;
use super::stretch::{failed, partitions, resolve};
use super::{Bound, ScanError, Wanted};
use crate::event::Record;
use crate::kafka::heard::{self, Listener};
use crate::kafka::record::from_message;

const POLL: Duration = Duration::from_millis(100);
/// Between two looks at how many partitions there are.
const PARTITIONS_EVERY: Duration = Duration::from_secs(30);
/// After trouble.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Timestamps of a topic's records are as far out of order as their writers' clocks are apart.
const OVERLAP: Duration = Duration::from_secs(60);

/// What somebody who follows a topic is told.
#[derive(Debug)]
pub enum Followed {
    Record(Record),
    /// Everything that was there at the beginning has been told.
    CaughtUp,
}

/// The end of a short channel. Dropping it ends the following.
#[derive(Debug)]
pub struct Follower(Receiver<Followed>);

impl Follower {
    pub(super) fn start(config: ClientConfig, topic: &str, from: Bound) -> Result<Self, ScanError> {
        let (told, follower) = channel(AHEAD);
        let thread = Thread { config, topic: topic.into(), told };
        std::thread::Builder::new()
            .name("coafi-follow".to_owned())
            .spawn(move || thread.run(from))
            .map_err(ScanError::Thread)?;
        Ok(Self(follower))
    }

    /// What comes next, whenever that is; `None` if the thread has ended, which is a bug.
    pub async fn next(&mut self) -> Option<Followed> {
        self.0.recv().await
    }
}

struct Thread {
    config: ClientConfig,
    topic: Arc<str>,
    told: Sender<Followed>,
}

/// Why following has ended, without trouble.
enum Ended {
    /// Nobody wants more.
    Abandoned,
    MorePartitions,
}

impl Thread {
    fn run(self, mut from: Bound) {
        let mut said = String::new();
        loop {
            match self.follow(&mut from) {
                Ok(Ended::Abandoned) => return,
                Ok(Ended::MorePartitions) => continue,
                Err(error) if error.to_string() != said => {
                    tracing::warn!(topic = &*self.topic, %error, "a topic cannot be followed; it is tried again");
                    said = error.to_string();
                }
                Err(_) => {}
            }
            let again = Instant::now() + AGAIN_AFTER;
            while Instant::now() < again {
                if self.told.is_closed() {
                    return;
                }
                std::thread::park_timeout(POLL);
            }
        }
    }

    /// Follows until nobody wants more, or there is trouble; then `from` is where to begin again.
    fn follow(&self, from: &mut Bound) -> Result<Ended, ScanError> {
        let consumer = heard::listener(&self.config).map_err(ScanError::Client)?;
        let count = self.assign(&consumer, *from)?;
        let (mut ended, mut looked) = (BTreeSet::new(), Instant::now());
        loop {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (record, _) = from_message(&message, Arc::clone(&self.topic));
                    if let Some(seen) = record.timestamp_ms() {
                        *from = before(seen);
                    }
                    if self.told.blocking_send(Followed::Record(record)).is_err() {
                        return Ok(Ended::Abandoned);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let all = ended.insert(partition) && ended.len() == count;
                    if all && self.told.blocking_send(Followed::CaughtUp).is_err() {
                        return Ok(Ended::Abandoned);
                    }
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(ScanError::Overtaken { topic: self.topic.to_string() });
                    }
                    // librdkafka goes on by itself.
                    _ => tracing::debug!(topic = &*self.topic, %error, "while following a topic"),
                },
                None => {}
            }
            if self.told.is_closed() {
                return Ok(Ended::Abandoned);
            }
            if looked.elapsed() > PARTITIONS_EVERY {
                looked = Instant::now();
                // While nobody answers there is nothing new either.
                if partitions(&consumer, &self.topic).is_ok_and(|now| usize::try_from(now).is_ok_and(|now| now > count))
                {
                    // A new partition is read from its beginning by whoever begins again before it was there.
                    return Ok(Ended::MorePartitions);
                }
            }
        }
    }

    /// How many partitions there are.
    fn assign(&self, consumer: &Listener, from: Bound) -> Result<usize, ScanError> {
        let wanted = Wanted { from, to: Bound::End, ..Wanted::all(&self.topic) };
        let mut assignment = TopicPartitionList::new();
        let stretches = resolve(consumer, &wanted)?;
        for stretch in &stretches {
            let offset = KafkaOffset::Offset(stretch.from.0);
            assignment
                .add_partition_offset(&self.topic, stretch.source.partition, offset)
                .map_err(|error| failed(&self.topic, error))?;
        }
        consumer.assign(&assignment).map_err(|error| failed(&self.topic, error))?;
        Ok(stretches.len())
    }
}

fn before(ms: i64) -> Bound {
    let ms = ms.saturating_sub(i64::try_from(OVERLAP.as_millis()).unwrap_or_default()).max(0);
    Bound::Time(jiff::Timestamp::from_millisecond(ms).unwrap_or_default())
}
