//! BITT, the immutable record of what happened to every event: the audit records in `coafi.bitt.records`, and how to read
//! them back.
//!
//! What is written here is what `docs/audit-records.md` calls receipts (a replica has polled these offsets) and outcomes (what became
//! of an event in one attempt). Nothing here knows a handler or a route; `dispatch` says what happened.
//!
//! Keeps I2 together with the engine: an outcome's record is the same whenever the same attempt is written down again, so
//! that a reader can tell a repetition from another attempt.

mod audit;
mod bounds;
mod interventions;
mod pages;
mod partition;
mod receipts;
mod replays;
mod story;
mod trail;

pub use audit::{Audit, Repeats, Writer};
pub use bounds::{MAX_ATTRIBUTE_BYTES, MAX_ENTRY_BYTES, MAX_RECEIPT_BYTES};
pub use interventions::{Interventions, outcome_key};
pub use pages::{OutcomeFilter, OutcomePages, OutcomesPage, Unread};
pub use partition::partition_of;
pub use receipts::Polled;
pub use replays::{REPLAY, replay_of};
pub use story::{Replayed, Story, StoryStep};
pub use trail::{Heard, MAX_RECORDS, Trail, TrailError};
