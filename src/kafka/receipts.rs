//! Receipts: records that say "these offsets were seen", through an idempotent, non-transactional producer, so that an
//! aborted transaction cannot take them back.
//!
//! Acknowledged per partition in order: the engine learns a position below which every receipt is durable (I2). A receipt
//! that fails is produced again, for as long as it takes: nothing may be committed without it, and nothing is gained by
//! ending. Receipts that are outstanding for [`SLOW_AFTER`] mean that the ledger is down; it is back when there are no old ones.
//! Where a commit takes long, and when the ledger is back, the last one is written once more, to each of its partitions: to find
//! out, and to get a transaction's end on its way that hangs there. A receipt that is there twice says nothing new.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rustc_hash::FxHashMap;
use tracing::debug;

use super::DriverError;
use super::config::{Config, MESSAGE_TIMEOUT};
use super::context::Reporter;
use super::inbox::Input;
use super::sink::{Deliveries, Refused, Sink, is_permanent};
use crate::engine::{Epoch, PartitionId};
use crate::event::{NextOffset, Outgoing};

/// The ledger is down when a receipt is not acknowledged for this long; in good times it takes milliseconds.
const SLOW_AFTER: Duration = Duration::from_secs(3);
/// How often the oldest receipt is looked at, while there is one, and how long those wait that have failed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the number of the ledger's partitions is asked for.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) enum Receipt {
    /// Receipts of one polled batch; `covers` is told when they are durable.
    Produce {
        covers: Covers,
        records: Vec<Outgoing>,
    },
    Delivered {
        ticket: usize,
        error: Option<KafkaError>,
    },
    /// Whether the ledger answers, each partition of it.
    Ask,
    Stop,
}

/// What a batch's receipts cover: everything of this ownership below `up_to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covers {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) up_to: NextOffset,
}

/// Delivery reports go back to the thread as commands.
pub(super) struct Reports(Mutex<Sender<Receipt>>);

impl Reports {
    pub(super) const fn new(sender: Sender<Receipt>) -> Self {
        Self(Mutex::new(sender))
    }
}

impl Deliveries for Reports {
    type Opaque = usize;

    fn delivered(&self, result: Result<(), &KafkaError>, ticket: usize) {
        let error = result.err().cloned();
        // After the thread's end nobody waits for receipts.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(Receipt::Delivered { ticket, error });
    }
}

/// Which batches are complete, and what may be acknowledged.
#[derive(Default)]
struct Ledger {
    next_batch: u64,
    /// Unacknowledged records of each batch, in the order of the batches of one ownership.
    open: BTreeMap<(PartitionId, Epoch), VecDeque<OpenBatch>>,
}

/// A batch's number, its unacknowledged records, and the position that it covers.
type OpenBatch = (u64, usize, NextOffset);

impl Ledger {
    fn open(&mut self, covers: &Covers, records: usize) -> u64 {
        self.next_batch += 1;
        let key = (covers.partition, covers.epoch);
        self.open.entry(key).or_default().push_back((self.next_batch, records, covers.up_to));
        self.next_batch
    }

    /// One record less to wait for; the position up to which all is durable by now, if it moved.
    fn close(&mut self, covers: &Covers, batch: u64, records: usize) -> Option<NextOffset> {
        let key = (covers.partition, covers.epoch);
        let queue = self.open.get_mut(&key)?;
        let entry = queue.iter_mut().find(|(number, ..)| *number == batch)?;
        entry.1 -= records;
        let mut durable = None;
        while let Some((_, 0, up_to)) = queue.front() {
            durable = Some(*up_to);
            queue.pop_front();
        }
        if queue.is_empty() {
            self.open.remove(&key);
        }
        durable
    }
}

struct Outstanding {
    /// `None`: it is written once more.
    batch: Option<(Covers, u64)>,
    record: Outgoing,
}

pub(super) struct Receipts<P, R> {
    config: Arc<Config>,
    reporter: Reporter,
    reports: Arc<Reports>,
    sink: Sink<Reports>,
    answers: Sender<Input<P, R>>,
    ledger: Ledger,
    outstanding: FxHashMap<usize, Outstanding>,
    last: Option<Outgoing>,
    next_ticket: usize,
    /// Those of `outstanding` that have failed, to be produced again at the next look.
    failed: Vec<usize>,
    failed_at: Instant,
    /// How one failed last, since the ledger has answered.
    trouble: Option<String>,
    /// When each ticket was first sent, the oldest first; those that are not outstanding any more leave at the front.
    sent: VecDeque<(usize, Instant)>,
    /// The engine takes the ledger to be down.
    down: bool,
}

impl<P, R> Receipts<P, R> {
    pub(super) fn start(
        config: Arc<Config>,
        reporter: Reporter,
        reports: Reports,
        answers: Sender<Input<P, R>>,
    ) -> Result<Self, DriverError> {
        let reports = Arc::new(reports);
        let sink = Sink::new(&config.receipt_producer()?, reporter.clone(), Arc::clone(&reports))?;
        let outstanding = FxHashMap::default();
        Ok(Self {
            config,
            reporter,
            reports,
            sink,
            answers,
            ledger: Ledger::default(),
            outstanding,
            last: None,
            next_ticket: 0,
            failed: Vec::new(),
            failed_at: Instant::now(),
            trouble: None,
            sent: VecDeque::new(),
            down: false,
        })
    }

    pub(super) fn run(mut self, commands: &Receiver<Receipt>) {
        loop {
            let done = match self.next(commands) {
                Ok(Some(Receipt::Produce { covers, records })) => self.produce(covers, records),
                Ok(Some(Receipt::Delivered { ticket, error })) => self.delivered(ticket, error),
                Ok(Some(Receipt::Ask)) => self.ask(),
                Ok(Some(Receipt::Stop) | None) => break,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                // Nobody listens only if the poll thread has ended first, with an error of its own.
                let _ = self.answers.send(Input::Failed(error));
                return;
            }
        }
        // What was polled and not committed will be polled, and receipted, again: this is for completeness only.
        self.sink.drain(MESSAGE_TIMEOUT / 60, || false);
    }

    /// The next command; meanwhile, what time asks for. `None` when nobody can send one any more.
    fn next(&mut self, commands: &Receiver<Receipt>) -> Result<Option<Receipt>, DriverError> {
        loop {
            self.look_at_the_oldest()?;
            self.produce_failed()?;
            if self.sent.is_empty() {
                return Ok(commands.recv().ok());
            }
            match commands.recv_timeout(LOOK_EVERY) {
                Ok(command) => return Ok(Some(command)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    fn look_at_the_oldest(&mut self) -> Result<(), DriverError> {
        while self.sent.front().is_some_and(|(ticket, _)| !self.outstanding.contains_key(ticket)) {
            self.sent.pop_front();
        }
        let age = self.sent.front().map_or(Duration::ZERO, |(_, at)| at.elapsed());
        let down = if self.down { age >= LOOK_EVERY } else { age >= SLOW_AFTER };
        if down == self.down {
            return Ok(());
        }
        self.down = down;
        let error = self.trouble.take();
        // Nobody listens only if the poll thread has ended.
        let _ = self.answers.send(Input::LedgerAnswers { answers: !down, error });
        self.ask()
    }

    fn produce_failed(&mut self) -> Result<(), DriverError> {
        if self.failed.is_empty() || self.failed_at.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.renew_if_fatal()?;
        std::mem::take(&mut self.failed).into_iter().try_for_each(|ticket| self.send(ticket))
    }

    fn produce(&mut self, covers: Covers, records: Vec<Outgoing>) -> Result<(), DriverError> {
        let batch = (covers, self.ledger.open(&covers, records.len()));
        if records.is_empty() {
            self.acknowledge(batch, 0);
        }
        if let Some(last) = records.last() {
            self.last = Some(last.clone());
        }
        records.into_iter().try_for_each(|record| self.send_new(Outstanding { batch: Some(batch), record }))
    }

    /// Writes the last one to each partition of the ledger. One that had too few replicas in sync, and has enough again by its
    /// configuration, moves its high watermark with the next append (KAFKA-15583): what was appended in the moment before waits
    /// for that. If it is a transaction's marker, the broker writes it anew after its own `request.timeout.ms`, 30 s, and until
    /// then the transaction has not ended.
    fn ask(&mut self) -> Result<(), DriverError> {
        // What is outstanding asks already.
        let (false, Some(last)) = (self.down, self.last.clone()) else { return Ok(()) };
        self.partitions_of(&last.topic).into_iter().try_for_each(|partition| {
            let record = Outgoing { partition, ..last.clone() };
            self.send_new(Outstanding { batch: None, record })
        })
    }

    /// Where nobody tells: the one that the key leads to.
    fn partitions_of(&self, topic: &str) -> Vec<Option<i32>> {
        let metadata = self.sink.producer().client().fetch_metadata(Some(topic), METADATA_TIMEOUT);
        let partitions = metadata.ok().and_then(|metadata| {
            let topic = metadata.topics().first()?;
            Some(topic.partitions().iter().map(|partition| Some(partition.id())).collect::<Vec<_>>())
        });
        partitions.filter(|partitions| !partitions.is_empty()).unwrap_or_else(|| vec![None])
    }

    fn send_new(&mut self, outstanding: Outstanding) -> Result<(), DriverError> {
        self.next_ticket += 1;
        self.sent.push_back((self.next_ticket, Instant::now()));
        self.outstanding.insert(self.next_ticket, outstanding);
        self.send(self.next_ticket)
    }

    fn send(&mut self, ticket: usize) -> Result<(), DriverError> {
        let Some(outstanding) = self.outstanding.get(&ticket) else { return Ok(()) };
        match self.sink.send(&outstanding.record, ticket) {
            Ok(()) => Ok(()),
            Err(Refused::Record(error)) => Err(error),
            Err(Refused::Producer(error)) => {
                self.produce_again(ticket, &error);
                Ok(())
            }
        }
    }

    fn delivered(&mut self, ticket: usize, error: Option<KafkaError>) -> Result<(), DriverError> {
        match error {
            None => {
                if let Some(batch) = self.outstanding.remove(&ticket).and_then(|outstanding| outstanding.batch) {
                    self.acknowledge(batch, 1);
                }
                Ok(())
            }
            Some(error) if is_permanent(&error) => {
                let topic = self.outstanding.remove(&ticket).map(|outstanding| outstanding.record.topic.to_string());
                let message = error.to_string();
                topic.map_or(Ok(()), |topic| Err(DriverError::Receipt { topic, message }))
            }
            Some(error) => {
                self.produce_again(ticket, &error);
                Ok(())
            }
        }
    }

    /// At the next look: what is wrong now is most likely wrong in a moment too.
    fn produce_again(&mut self, ticket: usize, error: &KafkaError) {
        debug!(ticket, "receipt is produced again: {error}");
        self.trouble = Some(error.to_string());
        if self.failed.is_empty() {
            self.failed_at = Instant::now();
        }
        self.failed.push(ticket);
    }

    /// A fatal error takes the producer with it; what it had comes back as failed deliveries.
    fn renew_if_fatal(&mut self) -> Result<(), DriverError> {
        if self.sink.producer().client().fatal_error().is_some() {
            let config = self.config.receipt_producer()?;
            self.sink = Sink::new(&config, self.reporter.clone(), Arc::clone(&self.reports))?;
        }
        Ok(())
    }

    fn acknowledge(&mut self, (covers, number): (Covers, u64), records: usize) {
        if let Some(up_to) = self.ledger.close(&covers, number, records) {
            let Covers { partition, epoch, .. } = covers;
            // Nobody listens only if the poll thread has ended.
            let _ = self.answers.send(Input::ReceiptsAcknowledged { partition, epoch, up_to });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(partition: u32, up_to: i64) -> Covers {
        Covers { partition: PartitionId(partition), epoch: Epoch(1), up_to: NextOffset(up_to) }
    }

    #[test]
    fn a_position_is_durable_when_every_batch_before_it_is() {
        let mut ledger = Ledger::default();
        let (a, b, c) = (covers(0, 10), covers(0, 20), covers(0, 30));
        let (first, second, third) = (ledger.open(&a, 2), ledger.open(&b, 1), ledger.open(&c, 1));
        let other = covers(1, 5);
        let foreign = ledger.open(&other, 1);
        assert_eq!(ledger.close(&b, second, 1), None);
        assert_eq!(ledger.close(&a, first, 1), None);
        assert_eq!(ledger.close(&other, foreign, 1), Some(NextOffset(5)));
        assert_eq!(ledger.close(&a, first, 1), Some(NextOffset(20)));
        assert_eq!(ledger.close(&c, third, 1), Some(NextOffset(30)));
        assert!(ledger.open.is_empty());
    }

    #[test]
    fn a_batch_without_receipts_waits_for_those_before_it() {
        let mut ledger = Ledger::default();
        let (a, b) = (covers(0, 10), covers(0, 20));
        let (first, second) = (ledger.open(&a, 1), ledger.open(&b, 0));
        assert_eq!(ledger.close(&b, second, 0), None);
        assert_eq!(ledger.close(&a, first, 1), Some(NextOffset(20)));
    }
}
