//! librdkafka's callbacks. They only record: what follows is decided on the poll thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tracing::{debug, error, info, warn};

use super::inbox::Rebalance;
use super::status::StatusCell;

/// How often, and how long each time, leaving looks for the question what to give back.
const LEAVE_POLLS: usize = 20;
const LEAVE_POLL: Duration = Duration::from_millis(10);

/// The group's consumer.
pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// Logs and errors of one librdkafka client.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) client: &'static str,
    pub(super) status: Arc<StatusCell>,
}

impl ClientContext for Reporter {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(client, facility, "librdkafka: {message}");
            }
            // One line per connection attempt: `error` below says once that no broker answers.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if matches!(facility, "FAIL" | "ERROR") => {
                debug!(client, facility, "librdkafka: {message}");
            }
            // One line per attempt, twice a second for as long as another transaction has not ended.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning
                if matches!(facility, "GETPID" | "ADDOFFSETS") && !self.status.trouble(message) =>
            {
                debug!(client, facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(client, facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(client, facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Debug => debug!(client, facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // An event, not an error.
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if self.status.brokers_down(reason) {
                    error!(client = self.client, "no kafka broker answers, trying on: {reason}");
                }
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                debug!(client = self.client, "{error}: {reason}");
            }
            _ => {
                if self.status.trouble(reason) {
                    warn!(client = self.client, "{error}: {reason}");
                }
            }
        }
    }
}

/// The group consumer's callbacks.
pub(super) struct GroupContext {
    reporter: Reporter,
    record: Box<dyn Fn(Rebalance) + Send + Sync>,
    /// While the consumer is closed nobody else answers a revocation.
    closing: AtomicBool,
    /// What was asked back while closing has been given back.
    gave_back: AtomicBool,
}

impl GroupContext {
    pub(super) fn new(reporter: Reporter, record: impl Fn(Rebalance) + Send + Sync + 'static) -> Self {
        Self { reporter, record: Box::new(record), closing: AtomicBool::new(false), gave_back: AtomicBool::new(false) }
    }

    /// From now on partitions are given up as soon as they are revoked: for the end, when nothing runs any more.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Leaves the group, so that others have the partitions at once. Closing does it too, but not for a static member, which
    /// the group would wait for. Nothing is waited for that does not come: librdkafka asks back what it takes for assigned,
    /// within this call, unless there is nothing.
    pub(super) fn leave(consumer: &GroupConsumer) {
        let context = consumer.context();
        context.close();
        context.gave_back.store(false, Ordering::SeqCst);
        consumer.unsubscribe();
        for _ in 0..LEAVE_POLLS {
            if context.gave_back.load(Ordering::SeqCst) {
                break;
            }
            // What else comes, nobody handles any more.
            let _ = consumer.poll(LEAVE_POLL);
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // `rebalance` answers again, with nothing; people would take the client's line for a failed shutdown.
        let answered_again = facility == "ASSIGN" && self.closing.load(Ordering::SeqCst);
        self.reporter.log(if answered_again { RDKafkaLogLevel::Debug } else { level }, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reporter.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            // `close` waits for this answer; an error means that there is nothing left to give up.
            let answer = if assigned {
                consumer.incremental_assign(list)
            } else {
                self.gave_back.store(true, Ordering::SeqCst);
                // A shutdown has given it up before, and then the answer must not name it.
                let nothing = TopicPartitionList::new();
                consumer.incremental_unassign(list).or_else(|_| consumer.incremental_unassign(&nothing))
            };
            if let Err(error) = answer {
                debug!("rebalance while closing: {error}");
            }
            return;
        }
        let partitions = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        (self.record)(if assigned {
            Rebalance::Assign(partitions)
        } else if consumer.assignment_lost() {
            Rebalance::Lost(partitions)
        } else {
            Rebalance::Revoke(partitions)
        });
    }
}

/// Side readers have nothing to rebalance.
impl ConsumerContext for Reporter {}
