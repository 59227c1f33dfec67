//! Reads what is recorded in topics, from one bound to another, beside every group: nothing is joined and nothing committed.
//!
//! [`Reader::resolve`] turns bounds (an offset, a time, an end of the topic) into stretches of offsets once, at the start:
//! what is written meanwhile is not read. [`Reader::read`] gives the committed records of these stretches, in order within a
//! partition. Offsets that no record has (transaction markers, what was aborted, what compaction took) are passed over, and
//! count as read.
//!
//! Bounded: [`records::AHEAD`] records and the client's own queue are held, whatever the stretches are; brokers that give
//! nothing are an error after [`records::STALLED_AFTER`].

mod bound;
mod error;
mod follow;
mod records;
mod stretch;
mod tail;

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::heard::{self, Listener};
use super::properties;

pub use bound::{Bound, NotABound};
pub use error::ScanError;
pub use follow::{Followed, Follower};
pub use records::{Progress, Records};
pub use stretch::{Stretch, Wanted};
pub use tail::{Start, Tail, Tailed};

/// Reads recorded topics of one cluster.
#[derive(Clone, Debug)]
pub struct Reader {
    config: ClientConfig,
}

impl Reader {
    /// `properties`: further librdkafka properties (security).
    #[must_use]
    pub fn new(bootstrap_servers: &str, properties: &BTreeMap<String, String>) -> Self {
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", bootstrap_servers);
        properties::set_common(&mut config);
        for (name, value) in [
            ("group.id", properties::READERS),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            // What retention took while it was being read is an error, not a jump.
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.wait.max.ms", "100"),
        ] {
            properties::set(&mut config, name, value);
        }
        properties::never_joins(&mut config);
        Self { config }
    }

    /// How many partitions the topic has.
    ///
    /// # Errors
    /// It does not exist, or the brokers do not say.
    pub async fn partitions(&self, topic: &str) -> Result<i32, ScanError> {
        let topic = topic.to_owned();
        self.ask(move |consumer| stretch::partitions(consumer, &topic)).await
    }

    /// The stretches that are meant, in order of topic and partition; also those that hold nothing.
    ///
    /// # Errors
    /// See [`ScanError`]; an offset that retention has passed is one.
    pub async fn resolve(&self, wanted: Wanted) -> Result<Vec<Stretch>, ScanError> {
        self.ask(move |consumer| stretch::resolve(consumer, &wanted)).await
    }

    /// As [`Self::resolve`] of the whole topic, with what is in transactions that are being committed: a producer hears of its
    /// commit before the markers are written that make its records readable, so whoever reads right behind one may miss the
    /// last of them. Every transaction that is open when this is asked is waited for.
    ///
    /// # Errors
    /// See [`ScanError`]; a transaction that stays open for [`stretch::SETTLED_WITHIN`] is one.
    pub async fn settled(&self, topic: &str, from: Bound) -> Result<Vec<Stretch>, ScanError> {
        let mut uncommitted = self.config.clone();
        uncommitted.set("isolation.level", "read_uncommitted");
        let written = Self { config: uncommitted }.resolve(Wanted::all(topic)).await?;
        let wanted = Wanted { from, ..Wanted::all(topic) };
        self.ask(move |consumer| stretch::settled(consumer, &wanted, &written)).await
    }

    /// The records of these stretches, one topic after another.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn read(&self, stretches: &[Stretch]) -> Result<Records, ScanError> {
        Records::start(self.config.clone(), stretches)
    }

    /// The records of a topic from a bound on, and then those that come, whenever that is.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn follow(&self, topic: &str, from: Bound) -> Result<Follower, ScanError> {
        Follower::start(self.config.clone(), topic, from)
    }

    /// The records of a topic behind these positions, and then those that come. Partitions without a position begin at
    /// `start` where there is none at all, else at their beginning.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn tail(&self, topic: &str, positions: BTreeMap<i32, i64>, start: Start) -> Result<Tail, ScanError> {
        Tail::start(self.config.clone(), topic, positions, start)
    }

    /// Asks on a thread of its own, which also closes the client: that can take for ever while no broker answers (seen with
    /// librdkafka 2.12), so nobody waits for it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Listener) -> Result<T, ScanError> + Send + 'static,
    ) -> Result<T, ScanError> {
        let config = self.config.clone();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let ask = move || match heard::listener(&config) {
            // Nobody listens once the command was interrupted.
            Ok(consumer) => drop(answer.send(question(&consumer).map_err(|error| error.heard_by(&consumer)))),
            Err(error) => drop(answer.send(Err(ScanError::Client(error)))),
        };
        std::thread::Builder::new().name("coafi-scan".to_owned()).spawn(ask).map_err(ScanError::Thread)?;
        answered.await.unwrap_or(Err(ScanError::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_accepts_every_property() {
        let theirs = [("max.poll.interval.ms", "6000"), ("fetch.wait.max.ms", "7")];
        let theirs = theirs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let reader = Reader::new("127.0.0.1:1", &theirs);
        reader.config.create_native_config().unwrap();
        assert_eq!(reader.config.get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(reader.config.get("isolation.level"), Some("read_committed"));
    }
}
