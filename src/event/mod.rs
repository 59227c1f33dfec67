//! The vocabulary: what a Kafka record and a CloudEvent are to the rest of the crate.
//!
//! Nothing here does I/O or knows of a broker. [`Record`] is one polled record in one allocation; [`Event`] is a record
//! whose CloudEvents attributes have been found (binary mode in headers, or structured mode in the value).

mod attributes;
mod everything;
mod headers;
mod identity;
pub mod incoming;
mod offset;
mod outgoing;
mod record;
mod timestamp;

pub use attributes::{Attribute, Event, NotAnEvent};
pub use headers::{Headers, HeadersBuilder};
pub use identity::{Identity, lane_hash};
pub use offset::{NextOffset, Offset, TopicPartition};
pub use outgoing::Outgoing;
pub use record::{Record, RecordBuilder};
pub use timestamp::{Timestamp, TimestampKind};
