//! Of commands that begin the same name at the same time, one does.
//!
//! Kafka takes offsets of a group without members from anybody, and the last one's stay. So a name is begun in a transaction,
//! under a transactional id that all who begin it have in common: whoever takes a turn ends the one before, and then looks.
//!
//! | the other one, when a turn is taken | what becomes of it | what is seen |
//! |---|---|---|
//! | has not looked yet, or not committed | it is fenced: nothing of it is committed | nothing, and the name is begun |
//! | has committed | it goes on | what it has begun the name for |
//!
//! The replay's own producer has another id, and is left alone by those that come too late.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::Asked;
use crate::kafka::properties;

/// For everything in one turn.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After this the broker ends the turn of a command that was killed, unless another one is taken.
const TRANSACTION_TIMEOUT: &str = "10000";

/// Another command was faster.
#[derive(Debug, thiserror::Error)]
pub enum Overtaken {
    #[error("another command begins the replay at this moment")]
    Beginning,
    #[error("the replay was begun by another command")]
    Begun(Asked),
}

pub(super) struct Turn {
    producer: BaseProducer,
    group: String,
    deadline: Instant,
}

impl Turn {
    /// Once it has returned, nothing of an earlier turn can be committed any more.
    pub(super) fn take(mut client: ClientConfig, group: &str) -> anyhow::Result<Self> {
        // It begins with the group, for ACLs by prefix. No slot has this name in a replay's group.
        for (name, value) in [
            ("transactional.id", &*format!("{group}/begin")),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT),
            ("message.timeout.ms", TRANSACTION_TIMEOUT),
            // Offsets on their way into a transaction ask for the group's coordinator once; if the answer is an error they wait
            // until a connection changes its state. This one does.
            ("connections.max.idle.ms", TRANSACTION_TIMEOUT),
        ] {
            properties::set(&mut client, name, value);
        }
        let turn = Self { producer: client.create()?, group: group.to_owned(), deadline: Instant::now() + TIMEOUT };
        turn.again(|left| turn.producer.init_transactions(left))?;
        Ok(turn)
    }

    /// All of these or none.
    pub(super) fn commit(self, consumer: &BaseConsumer, first: &TopicPartitionList) -> anyhow::Result<()> {
        let member = consumer.group_metadata().context("the consumer has no group")?;
        self.again(|_| self.producer.begin_transaction())?;
        self.again(|left| self.producer.send_offsets_to_transaction(first, &member, left))?;
        self.again(|left| self.producer.commit_transaction(left))
    }

    fn again(&self, call: impl Fn(Duration) -> KafkaResult<()>) -> anyhow::Result<()> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match call(left) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {}
                Err(error) if self.is_fenced(&error) => return Err(Overtaken::Beginning.into()),
                Err(error) => {
                    let what = format!("the first offsets of group {} cannot be committed", self.group);
                    return Err(anyhow::Error::new(error).context(what));
                }
            }
        }
    }

    fn is_fenced(&self, error: &KafkaError) -> bool {
        let code = match error {
            KafkaError::Transaction(error) => Some(error.code()),
            error => error.rdkafka_error_code(),
        };
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        code.iter().chain(&fatal).any(|code| {
            matches!(
                code,
                RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
            )
        })
    }
}
