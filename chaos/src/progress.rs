//! Watches outcomes appear while a run goes on: when each partition last got on, and how much is left.
//!
//! Time here is when a reader of committed data sees an outcome, which is what anybody downstream would wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::reading::{Ends, Record, Said, client, said};
use crate::reconcile::Place;
use crate::wire::Schemas;
use crate::world::{AUDIT_TOPIC, PARTITIONS, TOPIC};

const POLL: Duration = Duration::from_millis(100);
/// Longer than an event is in the retry topic.
const QUIET: Duration = Duration::from_secs(4);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Then a reader is made anew, where it was: what is broken around it must not leave a partition of it behind.
const READER_LIFE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Seen {
    /// Places that a record has left.
    left: BTreeSet<Place>,
    /// The same, in the order in which that was seen.
    order: Vec<Place>,
    /// The position after the last record that was read, by partition of the audit topic.
    read: Ends,
    /// Records that went on to a retry topic.
    hops: usize,
    /// When each partition of the source topic got on.
    marks: BTreeMap<i32, Vec<Instant>>,
    last: Option<Instant>,
    /// Places where a record was said to stand still for good.
    halted: BTreeSet<Place>,
    /// Places of records that were given up for killing their processes.
    crashed: BTreeSet<Place>,
}

/// A time in which a partition did not get on.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    pub partition: i32,
    pub began: Instant,
    pub lasted: Duration,
}

/// A thread that reads the audit topic.
pub struct Progress {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Reads from the beginning on.
    ///
    /// # Errors
    /// The broker does not say what the audit topic consists of.
    pub fn start(kafka: &str, schemas: Schemas) -> Result<Self> {
        let consumer = client(kafka, "chaos-progress", "read_committed")?;
        let metadata = consumer.fetch_metadata(Some(AUDIT_TOPIC), ANSWER_LIMIT).context("look at the audit topic")?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
        let mut watching =
            Watching { kafka: kafka.to_owned(), partitions: partitions.collect(), schemas, seen: Arc::default() };
        let (seen, stop) = (Arc::clone(&watching.seen), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // It cannot be made, or assigned, only if its configuration is wrong, of which it has been made once.
                match watching.reader() {
                    Ok(consumer) => watching.watch(&consumer, &stopped),
                    Err(error) => return eprintln!("nobody watches outcomes: {error:#}"),
                }
            }
        });
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Whether of so many records in the source topic each has come to its end, through the retry topic too; where hops are
    /// repeated, nothing may have happened for longer than a retry takes either.
    #[must_use]
    pub fn is_complete(&self, stored: usize) -> bool {
        let seen = self.lock();
        let at_source = seen.left.iter().filter(|place| place.topic == TOPIC).count();
        let hopped = seen.left.len() - at_source;
        at_source >= stored && hopped >= seen.hops && seen.last.is_none_or(|last| last.elapsed() > QUIET)
    }

    /// Whether everything below these ends has been read.
    #[must_use]
    pub fn has_read(&self, ends: &Ends) -> bool {
        let seen = self.lock();
        ends.iter().all(|(partition, end)| *end == 0 || seen.read.get(partition).is_some_and(|read| read >= end))
    }

    /// Whether in each of these partitions of the source topic a record at or behind the end has come to its end.
    #[must_use]
    pub fn is_beyond(&self, ends: &Ends) -> bool {
        let seen = self.lock();
        let at = |partition: i32, offset| Place { topic: TOPIC.to_owned(), partition, offset };
        let beyond = |(&partition, &end): (&i32, &i64)| {
            seen.left.range(at(partition, end)..=at(partition, i64::MAX)).next().is_some()
        };
        ends.iter().all(beyond)
    }

    /// Places that a record has left, in the order in which that was seen.
    #[must_use]
    pub fn order(&self) -> Vec<Place> {
        self.lock().order.clone()
    }

    /// How many places have been left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lock().left.len()
    }

    /// How many records stand still for good, as far as is known.
    #[must_use]
    pub fn halted(&self) -> usize {
        let seen = self.lock();
        seen.halted.difference(&seen.left).count()
    }

    /// How many records have been given up for killing their processes.
    #[must_use]
    pub fn crashed(&self) -> usize {
        self.lock().crashed.len()
    }

    /// Every partition is taken to get on now: nothing was there to get on with before.
    pub fn resumed(&self) {
        let now = Instant::now();
        self.lock().marks.values_mut().for_each(|marks| marks.push(now));
    }

    /// Since when nothing has got on; `None` before anything has.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        self.lock().last
    }

    /// How long after `end` every partition had got on; `None` if one never did.
    #[must_use]
    pub fn recovery(&self, end: Instant) -> Option<Duration> {
        let seen = self.lock();
        let first = |marks: &Vec<Instant>| {
            let at = marks.partition_point(|mark| *mark <= end);
            marks.get(at).map(|mark| *mark - end)
        };
        // Those that were added later had nothing to get on with.
        let added = seen.marks.iter().filter(|(partition, marks)| **partition >= PARTITIONS && marks[0] <= end);
        let partitions = (0..PARTITIONS).chain(added.map(|(partition, _)| *partition));
        let each = partitions.map(|partition| first(seen.marks.get(&partition)?));
        each.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The longest time in which a partition did not get on, between `begin` and `end`.
    #[must_use]
    pub fn longest_stall(&self, begin: Instant, end: Instant) -> Stall {
        let seen = self.lock();
        let longest = |partition: i32| {
            let marks = seen.marks.get(&partition).map(Vec::as_slice).unwrap_or_default();
            // One that was added later begins with its first.
            let begin = if partition < PARTITIONS { begin } else { marks.first().copied().unwrap_or(end) };
            let within = marks.iter().copied().filter(|mark| *mark > begin && *mark < end);
            let all: Vec<Instant> = std::iter::once(begin).chain(within).chain([end]).collect();
            let stalls = all.windows(2).map(|pair| Stall { partition, began: pair[0], lasted: pair[1] - pair[0] });
            stalls.max_by_key(|stall| stall.lasted)
        };
        let added = seen.marks.keys().copied().filter(|partition| *partition >= PARTITIONS);
        let longest = (0..PARTITIONS).chain(added).filter_map(longest).max_by_key(|stall| stall.lasted);
        longest.unwrap_or(Stall { partition: 0, began: begin, lasted: Duration::ZERO })
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

struct Watching {
    kafka: String,
    /// Of the audit topic.
    partitions: Vec<i32>,
    schemas: Schemas,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    /// From where everything has been read.
    fn reader(&self) -> Result<BaseConsumer> {
        let consumer = client(&self.kafka, "chaos-progress", "read_committed")?;
        let mut list = TopicPartitionList::new();
        let seen = lock(&self.seen);
        for partition in &self.partitions {
            let offset = seen.read.get(partition).map_or(Offset::Beginning, |read| Offset::Offset(*read));
            list.add_partition_offset(AUDIT_TOPIC, *partition, offset)?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    }

    /// Until it is to stop, or to be made anew.
    fn watch(&mut self, consumer: &BaseConsumer, stop: &AtomicBool) {
        let made = Instant::now();
        while !stop.load(Ordering::Relaxed) && made.elapsed() < READER_LIFE {
            // Errors pass: a broker that is away comes back, and the reader goes on where it was.
            let Some(Ok(message)) = consumer.poll(POLL) else { continue };
            let record = Record::of(&message);
            let said = said(&record, &mut self.schemas);
            self.note(&record, said);
        }
    }

    fn note(&self, record: &Record, said: Result<Said>) {
        let (now, mut seen) = (Instant::now(), lock(&self.seen));
        seen.read.insert(record.partition, record.offset + 1);
        // What cannot be decoded is found again, and reported, when everything is read at the end.
        let Ok(Said::Outcome(outcome)) = said else { return };
        if outcome.kind == "halted" {
            seen.halted.insert(outcome.place.clone());
        }
        if outcome.class.as_deref() == Some("crash") {
            seen.crashed.insert(outcome.place.clone());
        }
        if matches!(outcome.kind.as_str(), "retried_in_place" | "halted") {
            return;
        }
        seen.last = Some(now);
        if outcome.place.topic == TOPIC {
            seen.marks.entry(outcome.place.partition).or_default().push(now);
        }
        let hop = outcome.kind == "retried_topic";
        if seen.left.insert(outcome.place.clone()) {
            seen.order.push(outcome.place);
            seen.hops += usize::from(hop);
        }
    }
}
