//! Why no broker answers, in librdkafka's words. What a call returns tells only that none does: that one refuses a certificate, or
//! is refused for its own, is said beside it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

/// Of what waits to be heard, as much is looked through.
const EVENTS_MAX: usize = 64;

/// A consumer that can say why no broker answers it.
pub(crate) type Listener = BaseConsumer<Heard>;

/// Keeps what was last said of a connection.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<String>>);

/// Does not connect.
///
/// # Errors
/// librdkafka refuses the configuration.
pub(crate) fn listener(config: &ClientConfig) -> KafkaResult<Listener> {
    config.create_with_context(Heard::default())
}

/// What was last said, if anything was. The consumer is of no use for records any more: some may be passed over.
pub(crate) fn why(consumer: &Listener) -> Option<String> {
    for _ in 0..EVENTS_MAX {
        drop(consumer.poll(Duration::ZERO));
    }
    consumer.context().last()
}

impl Heard {
    fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        // These tell what is known: that nobody answers, and that a partition has an end.
        use RDKafkaErrorCode::{AllBrokersDown, PartitionEOF};
        if !matches!(error.rdkafka_error_code(), Some(AllBrokersDown | PartitionEOF)) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Heard {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_kept_and_not_that_nobody_answers() {
        let heard = Heard::default();
        assert_eq!(heard.last(), None);
        for (code, reason) in [
            (RDKafkaErrorCode::BrokerTransportFailure, "h:1/bootstrap: connection refused"),
            (RDKafkaErrorCode::SSL, "ssl://h:1/bootstrap: certificate verify failed"),
            (RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down"),
        ] {
            heard.error(KafkaError::Global(code), reason);
        }
        assert_eq!(heard.last().as_deref(), Some("ssl://h:1/bootstrap: certificate verify failed"));
    }
}
