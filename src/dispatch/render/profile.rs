//! Headers that tools of others read on retries and dead letters, beside our own and byte for byte as those tools write them.
//!
//! | profile | as written by |
//! |---|---|
//! | `spring` | Spring Kafka 4.0.0: `DeadLetterPublishingRecoverer` (`KafkaHeaders.DLT_*`), `DeadLetterPublishingRecovererFactory` (`RetryTopicHeaders`) |
//! | `connect` | Kafka Connect 4.3.0: `DeadLetterQueueReporter` |
//! | `streams` | Kafka Streams 4.3.0: `ExceptionHandlerUtils` (KIP-1034) |
//!
//! Differences, on purpose: a name is written once (Spring appends the places of every hop), and the place is the first one,
//! where it failed first. There are no Java classes here; what stands for one is `coafi.<class>.<code>`, with a stack trace
//! of one frame, the handler.

use bytes::Bytes;

use super::fit::Own;
use crate::dispatch::hop::Origin;
use crate::event::Timestamp;

/// Which headers are written besides our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderProfile {
    /// None.
    #[default]
    Coafi,
    Spring,
    Connect,
    Streams,
}

impl HeaderProfile {
    pub const ALL: [(&'static str, Self); 4] =
        [("coafi", Self::Coafi), ("spring", Self::Spring), ("connect", Self::Connect), ("streams", Self::Streams)];
}

/// What a profile says of a record that failed. Its texts are bounded by whoever makes it.
pub(super) struct Failed<'a> {
    pub(super) origin: &'a Origin,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) group: &'a str,
    pub(super) class: &'a str,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    pub(super) location: Option<&'a str>,
    /// `None` if it failed before any handler ran.
    pub(super) handler: Option<&'a str>,
    /// Attempts made.
    pub(super) attempt: u32,
    /// When it may be handled again, or failed for good; milliseconds since the Unix epoch.
    pub(super) due_ms: i64,
}

/// On a record of a retry topic. Only Spring has such topics.
pub(super) fn of_retry(profile: HeaderProfile, failed: &Failed<'_>) -> Vec<Own> {
    match profile {
        HeaderProfile::Spring => spring_hop(failed).into(),
        HeaderProfile::Coafi | HeaderProfile::Connect | HeaderProfile::Streams => Vec::new(),
    }
}

/// On a dead letter.
pub(super) fn of_dead_letter(profile: HeaderProfile, failed: &Failed<'_>) -> Vec<Own> {
    match profile {
        HeaderProfile::Coafi => Vec::new(),
        HeaderProfile::Spring => spring(failed),
        HeaderProfile::Connect => connect(failed).into(),
        HeaderProfile::Streams => streams(failed).into(),
    }
}

/// Java's `ConsumerRecord.NO_TIMESTAMP` and `TimestampType.NO_TIMESTAMP_TYPE`.
const NO_TIMESTAMP: (i64, &str) = (-1, "NoTimestampType");

fn spring(failed: &Failed<'_>) -> Vec<Own> {
    let (ms, kind) = failed.timestamp.map_or(NO_TIMESTAMP, |timestamp| (timestamp.ms, timestamp.kind.name()));
    let mut headers = vec![
        text("kafka_dlt-original-topic", &failed.origin.topic),
        bytes("kafka_dlt-original-partition", failed.origin.partition.to_be_bytes()),
        bytes("kafka_dlt-original-offset", failed.origin.offset.to_be_bytes()),
        bytes("kafka_dlt-original-timestamp", ms.to_be_bytes()),
        text("kafka_dlt-original-timestamp-type", kind),
        text("kafka_dlt-original-consumer-group", failed.group),
        text("kafka_dlt-exception-fqcn", &failed.class_name()),
        text("kafka_dlt-exception-cause-fqcn", &failed.exception()),
        text("kafka_dlt-exception-message", failed.message),
        text("kafka_dlt-exception-stacktrace", &failed.stack_trace()),
    ];
    headers.extend(spring_hop(failed));
    headers
}

/// Spring counts the attempt that comes next, and writes these on dead letters too.
fn spring_hop(failed: &Failed<'_>) -> [Own; 3] {
    let ms = failed.timestamp.map_or(NO_TIMESTAMP.0, |timestamp| timestamp.ms);
    let next = i32::try_from(failed.attempt).unwrap_or(i32::MAX).saturating_add(1);
    [
        Own::courtesy("retry_topic-original-timestamp", big_integer(ms)),
        bytes("retry_topic-attempts", next.to_be_bytes()),
        Own::courtesy("retry_topic-backoff-timestamp", big_integer(failed.due_ms)),
    ]
}

/// A connector is the group here, and there is one task; a sink's stages are those that we have too.
fn connect(failed: &Failed<'_>) -> [Own; 10] {
    let stage = if failed.class == "poison" { "VALUE_CONVERTER" } else { "TASK_PUT" };
    [
        text("__connect.errors.topic", &failed.origin.topic),
        text("__connect.errors.partition", &failed.origin.partition.to_string()),
        text("__connect.errors.offset", &failed.origin.offset.to_string()),
        text("__connect.errors.connector.name", failed.group),
        text("__connect.errors.task.id", "0"),
        text("__connect.errors.stage", stage),
        text("__connect.errors.class.name", &failed.place()),
        text("__connect.errors.exception.class.name", &failed.exception()),
        text("__connect.errors.exception.message", failed.message),
        text("__connect.errors.exception.stacktrace", &failed.stack_trace()),
    ]
}

fn streams(failed: &Failed<'_>) -> [Own; 6] {
    [
        text("__streams.errors.exception", &failed.exception()),
        text("__streams.errors.message", failed.message),
        text("__streams.errors.stacktrace", &failed.stack_trace()),
        text("__streams.errors.topic", &failed.origin.topic),
        text("__streams.errors.partition", &failed.origin.partition.to_string()),
        text("__streams.errors.offset", &failed.origin.offset.to_string()),
    ]
}

impl Failed<'_> {
    fn class_name(&self) -> String {
        format!("coafi.{}", self.class)
    }

    fn exception(&self) -> String {
        format!("coafi.{}.{}", self.class, self.code)
    }

    /// What was executing.
    fn place(&self) -> String {
        self.handler.map_or_else(|| "coafi.dispatch".to_owned(), |handler| format!("coafi.handlers.{handler}"))
    }

    /// As Java's `printStackTrace`.
    fn stack_trace(&self) -> String {
        let location = self.location.unwrap_or("Unknown Source");
        format!("{}: {}\n\tat {}({location})\n", self.exception(), self.message, self.place())
    }
}

fn text(name: &'static str, value: &str) -> Own {
    Own::courtesy(name, value.to_owned())
}

fn bytes<const N: usize>(name: &'static str, value: [u8; N]) -> Own {
    Own::courtesy(name, Bytes::copy_from_slice(&value))
}

/// As Java's `BigInteger.valueOf(value).toByteArray()`: two's complement, big-endian, in as few bytes as it takes.
fn big_integer(value: i64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let is_implied =
        |pair: &&[u8]| matches!(pair, [0x00, next] if next >> 7 == 0) || matches!(pair, [0xff, next] if next >> 7 == 1);
    let implied = bytes.windows(2).take_while(is_implied).count();
    bytes[implied..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right side is what `java.math.BigInteger` of JDK 17 gives.
    #[test]
    fn big_integers_are_as_short_as_those_of_java() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[0xff]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
            (1_763_740_800_000, &[0x01, 0x9a, 0xa7, 0x24, 0xd4, 0x00]),
            (i64::MAX, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (i64::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(big_integer(value), bytes, "{value}");
        }
    }
}
