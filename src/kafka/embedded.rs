//! A Kafka cluster inside the process: librdkafka's mock cluster, behind the same driver. For trying things out and tests.
//!
//! What it does not have: transactions (so [`Delivery::AtLeastOnce`](super::Delivery) only), durability, retention by time,
//! more than about 5 MB or 100,000 records per partition. Beyond that it drops the oldest records *silently*: whoever
//! produces must wait while consumers are more than half of [`MAX_RECORDS`] or [`MAX_BYTES`] behind. A gap shows as
//! `EVENT_LOST` (I10), as everywhere.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::mocking::MockCluster;

use super::DriverError;

/// Records that a partition keeps (librdkafka's `RD_KAFKA_MOCK` defaults).
pub const MAX_RECORDS: u64 = 100_000;
/// Bytes that a partition keeps.
pub const MAX_BYTES: u64 = 5 * 1024 * 1024;

/// Between two requests to the cluster. It reads away the wake-up of one that comes right behind another, and sees that one a second
/// later (`rd_kafka_mock_cluster_io_poll` serves what is queued before it empties the pipe): with thirty topics that made 10 s.
const REQUEST_GAP: Duration = Duration::from_millis(1);

/// A running cluster of one broker; gone when dropped, after its clients.
#[derive(Debug)]
pub struct Embedded {
    bootstrap_servers: String,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts the cluster with the given topics (name and number of partitions).
    ///
    /// # Errors
    /// [`DriverError::Embedded`] if librdkafka cannot start it or refuses a topic.
    pub fn start(topics: &[(&str, u32)]) -> Result<Self, DriverError> {
        let topics: Vec<_> = topics.iter().map(|&(name, partitions)| (name.to_owned(), partitions)).collect();
        let (stop, stopped) = channel();
        let (started, answer) = channel();
        // The cluster's handle cannot leave its thread.
        let thread = std::thread::Builder::new()
            .name("coafi-embedded".to_owned())
            .spawn(move || host(&topics, &started, &stopped))
            .map_err(|source| DriverError::Thread { name: "coafi-embedded", source })?;
        let bootstrap_servers = answer.recv().map_err(|_| DriverError::Panicked("coafi-embedded"))??;
        Ok(Self { bootstrap_servers, stop: Some(stop), thread: Some(thread) })
    }

    /// `host:port` of its broker, on the loopback interface.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed by the hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn host(topics: &[(String, u32)], started: &Sender<Result<String, DriverError>>, stopped: &Receiver<()>) {
    let cluster = match create(topics) {
        Ok(cluster) => cluster,
        Err(error) => {
            // The starter waits for exactly this.
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(cluster.bootstrap_servers())).is_ok() {
        // Ends when the other end is dropped.
        let _ = stopped.recv();
    }
}

#[expect(clippy::disallowed_methods, reason = "the cluster's thread does not say when it waits again")]
fn create(
    topics: &[(String, u32)],
) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, DriverError> {
    let failed = |error: rdkafka::error::KafkaError| DriverError::Embedded(error.to_string());
    let cluster = MockCluster::new(1).map_err(failed)?;
    for (name, partitions) in topics {
        let partitions = i32::try_from(*partitions)
            .map_err(|_| DriverError::Embedded(format!("topic {name} has too many partitions")))?;
        cluster.create_topic(name, partitions, 1).map_err(failed)?;
        std::thread::sleep(REQUEST_GAP);
    }
    Ok(cluster)
}
