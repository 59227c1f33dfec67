//! librdkafka's properties: which of them nobody else may set, and how the others are set unless somebody did.
//!
//! Each property is either refused when the configuration is read, or takes effect; none is overwritten silently.

use rdkafka::ClientConfig;

const OFFSETS: &str = "offsets are committed with their outcomes (I1, I2)";
const ACKNOWLEDGED: &str = "every producer waits for all in-sync replicas";
const SERVERS: &str = "set kafka.bootstrap_servers instead";
const OUTLIVES: &str = "it follows from kafka.transaction_timeout: a record must not outlive its transaction";

/// Properties that the guarantees or the bounds of memory rest on, with what to do instead. Aliases of librdkafka count
/// as what they stand for.
const RESERVED: [(&str, &str); 27] = [
    ("bootstrap.servers", SERVERS),
    ("metadata.broker.list", SERVERS),
    ("group.id", "set kafka.group_id instead"),
    ("group.instance.id", "set kafka.group_instance_id instead"),
    ("group.protocol", "rebalances are cooperative, by the classic protocol (I4)"),
    ("partition.assignment.strategy", "rebalances are cooperative (I4)"),
    ("session.timeout.ms", "set kafka.session_timeout instead"),
    ("heartbeat.interval.ms", "set kafka.heartbeat_interval instead"),
    ("transactional.id", "it is made from kafka.group_id and kafka.slot"),
    ("transaction.timeout.ms", "set kafka.transaction_timeout instead"),
    ("message.timeout.ms", OUTLIVES),
    ("delivery.timeout.ms", OUTLIVES),
    ("queued.max.messages.kbytes", "set kafka.queues.fetched_max_bytes instead"),
    ("queue.buffering.max.kbytes", "set kafka.queues.producer_max_bytes instead"),
    ("message.max.bytes", "set max.message.bytes of the topic instead, in its declaration"),
    ("enable.auto.commit", OFFSETS),
    ("auto.commit.enable", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("auto.offset.reset", "set kafka.start for the first start; a lost position is never reset silently (I10)"),
    ("enable.partition.eof", "a partition's end is how markers behind its last record are seen (I10)"),
    ("isolation.level", "every consumer reads committed records only"),
    ("check.crcs", "every record is checked"),
    ("enable.idempotence", "every producer is idempotent"),
    ("acks", ACKNOWLEDGED),
    ("request.required.acks", ACKNOWLEDGED),
    ("partitioner", "partitions are chosen as Java clients choose them, so that equal keys meet"),
    ("delivery.report.only.error", "delivery reports are how a record that failed is noticed (I2)"),
];

/// Other names of properties that are set here, and the name that is used.
const ALIASES: [(&str, &str); 3] = [
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
];

/// Of every client. By default a broker that is back is looked for up to 10 s later.
const COMMON: [(&str, &str); 2] = [("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "1000")];

/// What every client of ours has, unless the configuration says otherwise.
pub(crate) fn set_common(client: &mut ClientConfig) {
    COMMON.into_iter().for_each(|(name, value)| set(client, name, value));
}

/// The group of whoever reads and never joins one: librdkafka wants a name, and asks for its coordinator all the same, which is
/// the one thing that has to be allowed.
pub const READERS: &str = "coafi-scan";

/// Of a consumer that never joins its group, which librdkafka checks all the same: the session must fit into whatever
/// `max.poll.interval.ms` the configuration has for those that do.
pub(crate) fn never_joins(client: &mut ClientConfig) {
    client.set("session.timeout.ms", "1000");
}

/// Why a property may not be set, and what to do instead; `None` if it may.
#[must_use]
pub fn refusal(name: &str) -> Option<&'static str> {
    RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, instead)| *instead)
}

/// Sets a property that is ours to set; one that is only tuning, unless the configuration has it, under whichever name.
pub(crate) fn set(client: &mut ClientConfig, name: &str, value: &str) {
    let given = client.get(name).is_some()
        || ALIASES.iter().any(|(alias, stands_for)| *stands_for == name && client.get(alias).is_some());
    if refusal(name).is_some() || !given {
        client.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuning_gives_way_and_promises_do_not() {
        let mut client = ClientConfig::new();
        client.set("queue.buffering.max.ms", "50").set("fetch.wait.max.ms", "7").set("acks", "1");
        for (name, value) in [("linger.ms", "1"), ("fetch.wait.max.ms", "100"), ("acks", "all"), ("batch.size", "9")] {
            set(&mut client, name, value);
        }
        let is = |name| client.get(name);
        assert_eq!((is("queue.buffering.max.ms"), is("linger.ms")), (Some("50"), None), "one name of the two");
        assert_eq!((is("fetch.wait.max.ms"), is("acks"), is("batch.size")), (Some("7"), Some("all"), Some("9")));
    }
}
