//! Under which member id a consumer is in its group.
//!
//! librdkafka has a call for it that rust-rdkafka does not wrap (0.39 and 0.40), and what it does wrap, the group's metadata, shows
//! nothing of itself. A crate of its own, so that everything else forbids code that is not safe.

use std::ffi::CStr;

use rdkafka::bindings::{rd_kafka_mem_free, rd_kafka_memberid};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};

/// The id that the group's coordinator has given; `None` while the consumer is no member. Ids are never given twice. Waits for
/// librdkafka's own thread, not for a broker.
#[must_use]
#[allow(unsafe_code, reason = "a C call and its result, in three lines")]
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<String> {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives as long as the consumer that is borrowed here. What comes back is null, or a text of librdkafka's
    // own, ended by a zero, that is ours until it is given back, after which nothing refers to it.
    let id = unsafe {
        let text = rd_kafka_memberid(client);
        if text.is_null() {
            return None;
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        rd_kafka_mem_free(client, text.cast());
        id
    };
    Some(id).filter(|id| !id.is_empty())
}
