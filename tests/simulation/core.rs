//! The engine and the few words of `event` that it uses, compiled without the rest of `coafi`: the same source files.
//!
//! That they compile here, where there is no async runtime, no Kafka client and no clock, is one more proof that the
//! engine is pure. It is also what makes tens of thousands of seeds and hundreds of mutants (`make mutants`) affordable: a
//! change of the engine is compiled and tried in seconds.

#[path = "../../src/engine/mod.rs"]
pub mod engine;
#[path = "../../src/event/identity.rs"]
mod identity;
#[path = "../../src/event/offset.rs"]
mod offset;

/// As `coafi::event`, as far as the engine needs it.
pub mod event {
    pub use crate::identity::{Identity, lane_hash};
    pub use crate::offset::{NextOffset, Offset, TopicPartition};
}
