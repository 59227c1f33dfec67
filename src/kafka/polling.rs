//! Polling: batches of records while the engine has room, and membership without records while it has none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tracing::warn;

use super::application::PolledBatch;
use super::driver::Driver;
use super::receipts::{Covers, Receipt};
use super::record::from_message;
use super::{Application, DriverError};
use crate::engine::Verdict;

/// Records in one batch: also by how much the engine's bound may be overshot.
const BATCH_RECORDS: usize = 512;
/// Bytes in one batch, likewise; a single record may be larger.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Polling one batch takes no longer than this, so that results do not wait.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// The clock is read once for this many records.
const CLOCK_EVERY: usize = 32;
/// `poll` says "nothing" after a log line as well; the queue is taken to be empty when it says so twice.
const EMPTY_POLLS: u32 = 2;
/// How long the consumer is left alone while the engine has no room, before everything is paused and polling for
/// rebalances goes on. Pausing throws away what was prefetched, so short waits should not pause.
const HOLD_AFTER: Duration = Duration::from_millis(250);

impl<A: Application> Driver<A> {
    /// Polls one batch, if there is room for one. True if there may be more.
    pub(super) fn poll(&mut self) -> Result<bool, DriverError> {
        if self.engine.has_room() {
            self.state.full_since = None;
            if self.state.held {
                self.hold(false);
            }
            return self.poll_batch();
        }
        let now = self.clock.now();
        let since = *self.state.full_since.get_or_insert(now);
        if !self.state.held && now - since > HOLD_AFTER {
            self.hold(true);
        }
        if self.state.held {
            // Paused: what still comes was on its way, and is taken.
            self.poll_batch()?;
        }
        Ok(false)
    }

    fn hold(&mut self, held: bool) {
        self.state.held = held;
        let list = self.list_where(|owned| !owned.draining && !owned.paused_by_engine);
        self.set_paused(&list, held);
    }

    fn poll_batch(&mut self) -> Result<bool, DriverError> {
        let consumer = Arc::clone(&self.consumer);
        let started = Instant::now();
        let (mut records, mut bytes, mut empty) = (0, 0, 0);
        let mut touched = Vec::new();
        while records < BATCH_RECORDS && bytes < BATCH_BYTES && empty < EMPTY_POLLS {
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    bytes += message.payload_len() + message.key_len();
                    records += 1;
                    self.collect(&message, &mut touched);
                    if records % CLOCK_EVERY == 0 && started.elapsed() > BATCH_TIME {
                        break;
                    }
                }
                Some(Err(error)) => self.consumer_error(error)?,
                None => empty += 1,
            }
        }
        self.state.polled += records as u64;
        for index in touched {
            self.hand_over(index);
        }
        Ok(empty < EMPTY_POLLS)
    }

    /// Classifies one record into its partition's batch.
    fn collect(&mut self, message: &BorrowedMessage<'_>, touched: &mut Vec<usize>) {
        let Some(index) = self.partitions.index(message.topic(), message.partition()) else { return };
        let partition = self.partitions.at(index);
        // Of a partition that is being given up, or is no longer ours: its next owner will poll it.
        let Some(owned) = partition.owned.as_mut().filter(|owned| !owned.draining) else { return };
        owned.proof.not_now();
        let topic = Arc::clone(&partition.source.topic);
        let (record, readable) = from_message(message, topic);
        let mut arrival = self.application.classify(&self.routes, record, &self.clock);
        if !readable {
            (arrival.verdict, arrival.identity) = (Verdict::Poison, None);
        }
        if partition.batch.is_empty() {
            touched.push(index);
            partition.batch_ms = message.timestamp().to_millis();
        }
        partition.batch.push(arrival);
    }

    /// Receipts first, then the engine.
    fn hand_over(&mut self, index: usize) {
        let now = self.clock.now();
        let partition = self.partitions.at(index);
        let records = std::mem::take(&mut partition.batch);
        let (Some(owned), Some(last)) = (partition.owned.as_mut(), records.last()) else { return };
        let (epoch, from, to) = (owned.epoch, owned.polled, last.offset.next());
        owned.polled = to;
        if let Some(at_ms) = partition.batch_ms.take() {
            owned.note_written(to, at_ms);
        }
        let id = partition.id;
        let batch = PolledBatch { source: &partition.source, epoch, from, to, records: &records };
        let receipts = self.application.receipts(&batch);
        let covers = Covers { partition: id, epoch, up_to: to };
        // If the thread is gone it has said why, and the replica ends in this turn.
        let _ = self.receipts.send(Receipt::Produce { covers, records: receipts });
        self.engine.records(now, id, epoch, records);
    }

    fn consumer_error(&mut self, error: KafkaError) -> Result<(), DriverError> {
        match error {
            KafkaError::PartitionEOF(partition) => self.reached_end(partition),
            KafkaError::MessageConsumptionFatal(code) => return Err(self.fatal(code)),
            error => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset) => self.state.relocate = true,
                Some(code @ (RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)) => {
                    return Err(self.fatal(code));
                }
                // Said once by the context's `error`: brokers away, a topic that is missing, an authorisation.
                _ => {}
            },
        }
        Ok(())
    }

    /// What librdkafka's client does not recover from; see `seat` for what follows.
    fn fatal(&self, code: RDKafkaErrorCode) -> DriverError {
        let (code, message) = self.consumer.client().fatal_error().unwrap_or_else(|| (code, code.to_string()));
        DriverError::Consumer { group: self.config.group.clone(), message: format!("{code}: {message}") }
    }

    pub(super) fn set_paused(&self, list: &rdkafka::TopicPartitionList, paused: bool) {
        if list.count() == 0 {
            return;
        }
        let done = if paused { self.consumer.pause(list) } else { self.consumer.resume(list) };
        if let Err(error) = done {
            // Only partitions that are no longer assigned cannot be paused, and those are gone anyway.
            warn!(paused, "partitions not paused or resumed: {error}");
        }
    }
}
