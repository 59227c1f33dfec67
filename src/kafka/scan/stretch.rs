//! From bounds to offsets: asked once, so that what is read has an end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::{Bound, ScanError};
use crate::event::{NextOffset, TopicPartition};
use crate::kafka::heard::Listener;
use crate::runtime::unix_ms;

/// One answer of the brokers is waited for this long.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// Transactions that are open are waited for this long: producers' `transaction.timeout.ms` is 60 s unless they say otherwise,
/// and the coordinator looks every 10 s.
pub(super) const SETTLED_WITHIN: Duration = Duration::from_secs(75);
/// Nobody announces a transaction's end.
const SETTLED_AGAIN: Duration = Duration::from_millis(20);

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub topics: Vec<String>,
    /// Of every topic; all of them if none is named.
    pub partitions: BTreeSet<i32>,
    pub from: Bound,
    pub to: Bound,
}

impl Wanted {
    /// The same with bounds such as `2h` counted from this moment, in milliseconds since the Unix epoch, and not from when
    /// the question is asked.
    #[must_use]
    pub fn counted_from(self, unix_ms: i64) -> Self {
        let fixed = |bound| match bound {
            Bound::Ago(ago) => {
                let ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Bound::Time(Timestamp::from_millisecond(unix_ms.saturating_sub(ms).max(0)).unwrap_or_default())
            }
            bound => bound,
        };
        Self { from: fixed(self.from), to: fixed(self.to), ..self }
    }

    /// Everything that is there now.
    #[must_use]
    pub fn all(topic: &str) -> Self {
        Self { topics: vec![topic.to_owned()], partitions: BTreeSet::new(), from: Bound::Beginning, to: Bound::End }
    }
}

/// Offsets of one partition: from `from` on, before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub source: TopicPartition,
    pub from: NextOffset,
    pub to: NextOffset,
}

impl Stretch {
    /// Offsets in it; there may be fewer records.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.to.0 - self.from.0).unwrap_or(0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(super) fn partitions(consumer: &Listener, topic: &str) -> Result<i32, ScanError> {
    let metadata = consumer.fetch_metadata(Some(topic), BROKER_TIMEOUT).map_err(|e| failed(topic, e))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = i32::try_from(found.map_or(0, |found| found.partitions().len())).expect("Kafka counts them in an i32");
    if count == 0 { Err(ScanError::NoTopic { topic: topic.to_owned() }) } else { Ok(count) }
}

pub(super) fn resolve(consumer: &Listener, wanted: &Wanted) -> Result<Vec<Stretch>, ScanError> {
    let now_ms = unix_ms();
    let (from, to) = (At::of(wanted.from, now_ms), At::of(wanted.to, now_ms));
    let backwards = match (from, to) {
        (At::Offset(from), At::Offset(to)) => from > to,
        (At::Time(from), At::Time(to)) => from > to,
        (At::End, At::Beginning) => true,
        _ => false,
    };
    if backwards {
        return Err(ScanError::Backwards { from: wanted.from, to: wanted.to });
    }
    let mut stretches = Vec::new();
    for topic in wanted.topics.iter().collect::<BTreeSet<_>>() {
        let count = partitions(consumer, topic)?;
        if let Some(&partition) = wanted.partitions.iter().find(|partition| !(0..count).contains(*partition)) {
            return Err(ScanError::NoPartition { topic: topic.clone(), partition, last: count - 1 });
        }
        let all: Vec<i32> =
            (0..count).filter(|id| wanted.partitions.is_empty() || wanted.partitions.contains(id)).collect();
        let (starts, ends) = (at_time(consumer, topic, &all, from)?, at_time(consumer, topic, &all, to)?);
        let name: Arc<str> = topic.as_str().into();
        for (index, &partition) in all.iter().enumerate() {
            let source = TopicPartition { topic: Arc::clone(&name), partition };
            // With `read_committed`, the last stable offset: no open transaction is waited for.
            let limits = consumer.fetch_watermarks(topic, partition, BROKER_TIMEOUT);
            let (oldest, end) = limits.map_err(|error| failed(topic, error))?;
            let end = end.max(oldest);
            let place = |at: At, found: &[Option<i64>]| match at {
                At::Beginning => oldest,
                At::End => end,
                At::Offset(offset) => offset,
                At::Time(_) => found[index].unwrap_or(end),
            };
            let (from_offset, to_offset) = (place(from, &starts), place(to, &ends));
            if matches!(from, At::Offset(_)) && from_offset < oldest {
                return Err(ScanError::Expired { source_partition: source, from: from_offset, oldest });
            }
            let from_offset = from_offset.clamp(oldest, end);
            let to_offset = to_offset.clamp(from_offset, end);
            stretches.push(Stretch { source, from: NextOffset(from_offset), to: NextOffset(to_offset) });
        }
    }
    Ok(stretches)
}

/// The stretches once the committed end has passed that of everything `written`.
pub(super) fn settled(consumer: &Listener, wanted: &Wanted, written: &[Stretch]) -> Result<Vec<Stretch>, ScanError> {
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let stretches = resolve(consumer, wanted)?;
        let open = written.iter().find(|written| {
            stretches.iter().any(|stretch| stretch.source == written.source && stretch.to < written.to)
        });
        match open {
            None => return Ok(stretches),
            Some(open) if Instant::now() > until => {
                return Err(ScanError::Unsettled { source_partition: open.source.clone() });
            }
            Some(_) => std::thread::sleep(SETTLED_AGAIN),
        }
    }
}

/// A bound at the time of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Beginning,
    End,
    Offset(i64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

impl At {
    fn of(bound: Bound, now_ms: i64) -> Self {
        match bound {
            Bound::Beginning => Self::Beginning,
            Bound::End => Self::End,
            Bound::Offset(offset) => Self::Offset(offset),
            Bound::Time(time) => Self::Time(ceil_ms(time)),
            Bound::Ago(ago) => {
                Self::Time(now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).max(0))
            }
        }
    }
}

/// Kafka's timestamps are whole milliseconds: the first that is not before `time`.
fn ceil_ms(time: Timestamp) -> i64 {
    let floor = time.as_millisecond();
    floor + i64::from(time.as_nanosecond() > i128::from(floor) * 1_000_000)
}

/// The first offset at or after the time in each partition; `None` where there is none, or no time is asked for.
fn at_time(consumer: &Listener, topic: &str, partitions: &[i32], at: At) -> Result<Vec<Option<i64>>, ScanError> {
    let At::Time(time_ms) = at else { return Ok(vec![None; partitions.len()]) };
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        asked
            .add_partition_offset(topic, *partition, KafkaOffset::Offset(time_ms))
            .map_err(|error| failed(topic, error))?;
    }
    let answer = consumer.offsets_for_times(asked, BROKER_TIMEOUT).map_err(|error| failed(topic, error))?;
    let offset = |partition: &i32| {
        let Some(found) = answer.find_partition(topic, *partition) else { return Ok(None) };
        found.error().map_err(|error| failed(topic, error))?;
        Ok(match found.offset() {
            KafkaOffset::Offset(offset) => Some(offset),
            _ => None,
        })
    };
    partitions.iter().map(offset).collect()
}

pub(super) fn failed(topic: &str, source: KafkaError) -> ScanError {
    ScanError::Kafka { topic: topic.to_owned(), source, said: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_between_two_milliseconds_is_the_later_one() {
        let ms = |text: &str| ceil_ms(text.parse().unwrap());
        assert_eq!(ms("1970-01-01T00:00:01Z"), 1_000);
        assert_eq!(ms("1970-01-01T00:00:01.0001Z"), 1_001);
    }

    #[test]
    fn how_long_ago_is_counted_from_the_question() {
        assert_eq!(At::of(Bound::Ago(Duration::from_secs(2)), 10_000), At::Time(8_000));
        assert_eq!(At::of(Bound::Ago(Duration::from_secs(2)), 1_000), At::Time(0));
    }

    #[test]
    fn how_long_ago_may_be_counted_from_another_moment() {
        let wanted = Wanted { from: Bound::Ago(Duration::from_secs(2)), to: Bound::Offset(7), ..Wanted::all("t") };
        let Wanted { from, to, .. } = wanted.counted_from(10_000);
        assert_eq!((At::of(from, 99_000), At::of(to, 99_000)), (At::Time(8_000), At::Offset(7)));
    }
}
