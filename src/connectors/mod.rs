//! Trigger sources: each publishes to its source topic and keeps its own source offsets.
//!
//! What every connector stands on: [`Ownership`] (who runs a source), [`Publisher`] (events and offsets in one
//! transaction, by one owner), [`Admission`] (when it may publish). Connectors know nothing of routes and handlers.

#![allow(
    clippy::disallowed_methods,
    reason = "edge: polls by the clock, waits between attempts, talks to Kafka and git"
)]

mod admission;
mod backoff;
pub mod bitt;
mod cloud_event;
pub mod federated;
pub mod git;
mod offsets_reader;
mod owned;
mod ownership;
mod producer;
pub mod publish_event;
mod publisher;
mod record_size;
pub mod schedule;
mod source_offset;
pub mod tail;
mod trace_parent;
mod wakes;

pub use crate::schema::avro_json::{FieldError, to_avro};
pub use admission::{Admission, AdmissionError, LagBased, Open};
pub use backoff::{Backoff, jittered, random};
pub use cloud_event::NewSourceEvent;
pub use ownership::{Ownership, Sharing};
pub use producer::{EventProducer, Placed, ProduceError};
pub use publisher::{Delivery, Parts, PublishError, Publisher, PublisherSettings};
use record_size::size;
pub use source_offset::{OFFSETS_TOPIC, SourceId};
pub use trace_parent::of as traceparent_of;
pub use wakes::{WAKES_TOPIC, wake};
