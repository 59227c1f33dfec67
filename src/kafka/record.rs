//! From librdkafka's message to [`Record`]: one allocation, and bytes that are not text come through.
//!
//! Limitation: rust-rdkafka 0.39 panics on a header *name* that is not UTF-8 and offers no other safe way to that header.
//! The panic is caught for the one header, the record keeps everything else, [`UNREADABLE_HEADERS`] says how many headers
//! are missing, and [`from_message`] tells the caller, who treats the record as poison. Its dead letter therefore has the
//! original key and value, and the readable headers.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};

use crate::event::{Offset, Record, RecordBuilder};

/// Header that stands in for those whose names cannot be read; its value is their number.
pub const UNREADABLE_HEADERS: &str = "coafi-unreadable-headers";

/// Lengths of name and value, as `Headers` stores them: for the size of the allocation.
const HEADER_OVERHEAD: usize = 8;
/// Names and values of up to this many headers are measured before the allocation.
const MEASURED_HEADERS: usize = 64;

/// The record, and whether all of its headers could be read.
pub(super) fn from_message(message: &BorrowedMessage<'_>, topic: Arc<str>) -> (Record, bool) {
    let headers = message.headers();
    let mut builder = RecordBuilder::new(message.key(), message.payload(), headers.map_or(0, size_hint));
    let mut unreadable = 0_usize;
    if let Some(headers) = headers {
        for index in 0..headers.count() {
            match header(headers, index) {
                Some((name, value)) => builder.header(name.as_bytes(), value),
                None => unreadable += 1,
            }
        }
    }
    if unreadable > 0 {
        builder.header(UNREADABLE_HEADERS.as_bytes(), Some(unreadable.to_string().as_bytes()));
    }
    let timestamp = message.timestamp();
    if matches!(timestamp, Timestamp::LogAppendTime(_)) {
        builder.log_append_time();
    }
    let record = builder.build(topic, message.partition(), Offset(message.offset()), timestamp.to_millis());
    (record, unreadable == 0)
}

fn size_hint(headers: &rdkafka::message::BorrowedHeaders) -> usize {
    (0..headers.count().min(MEASURED_HEADERS))
        .filter_map(|index| header(headers, index))
        .map(|(name, value)| HEADER_OVERHEAD + name.len() + value.map_or(0, <[u8]>::len))
        .sum()
}

/// One header; `None` if its name is not UTF-8.
fn header(headers: &rdkafka::message::BorrowedHeaders, index: usize) -> Option<(&str, Option<&[u8]>)> {
    quietly(|| headers.try_get(index)).flatten().map(|h| (h.key, h.value))
}

/// Calls rust-rdkafka where it panics on what other clients wrote; `None` if it does.
pub(super) fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    let _quiet = Quiet::begin();
    catch_unwind(AssertUnwindSafe(call)).ok()
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, the panic hook says nothing of panics on this thread: a foreign producer's header is no news.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !QUIET.get() {
                    previous(info);
                }
            }));
        });
        QUIET.set(true);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(false);
    }
}
