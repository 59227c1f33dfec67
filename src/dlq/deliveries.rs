//! Where produced records came to stand: delivery reports, collected batch by batch.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::WriteError;

/// Why a transaction's work stopped.
pub(super) enum Stopped {
    /// A record that no repetition helps.
    Refused {
        index: usize,
        message: String,
    },
    Failed(KafkaError),
    Late,
    Invalid(WriteError),
}

/// Whether it is the record that is at fault.
pub(super) fn is_refusal(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(
        code,
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidRecord
        )
    )
}

pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Which record a delivery report is about.
pub(super) struct Sent {
    pub(super) batch: u64,
    pub(super) index: usize,
}

/// Delivery reports of the batch that is waited for; those of earlier ones, whose transaction was aborted, are dropped.
#[derive(Default)]
pub(super) struct Reports {
    batch: Mutex<Batch>,
    changed: Condvar,
}

#[derive(Default)]
struct Batch {
    number: u64,
    places: Vec<Option<(i32, i64)>>,
    missing: usize,
    failed: Option<(usize, KafkaError)>,
}

impl Reports {
    pub(super) fn begin(&self, records: usize) -> u64 {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        *batch = Batch { number: batch.number + 1, places: vec![None; records], missing: records, failed: None };
        batch.number
    }

    pub(super) fn wait(&self, number: u64, until: Instant) -> Result<Vec<(i32, i64)>, Stopped> {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = |batch: &mut Batch| batch.number == number && batch.missing > 0 && batch.failed.is_none();
        let waited = self.changed.wait_timeout_while(batch, left(until), pending);
        let (mut batch, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match batch.failed.take() {
            Some((index, error)) if is_refusal(error.rdkafka_error_code()) => {
                Err(Stopped::Refused { index, message: error.to_string() })
            }
            Some((_, error)) => Err(Stopped::Failed(error)),
            None if batch.missing > 0 => Err(Stopped::Late),
            None => Ok(batch.places.iter().copied().flatten().collect()),
        }
    }
}

impl rdkafka::ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.number != sent.batch {
            return;
        }
        match result {
            Ok(message) => {
                batch.places[sent.index] = Some((message.partition(), message.offset()));
                batch.missing -= 1;
            }
            Err((error, _)) => {
                batch.failed.get_or_insert_with(|| (sent.index, error.clone()));
            }
        }
        drop(batch);
        self.changed.notify_all();
    }
}
