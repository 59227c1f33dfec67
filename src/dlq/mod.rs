//! What was put away, and bringing it back: dead letters and unprocessed events, as `coafi dlq` and `coafi unprocessed` ask
//! for them.
//!
//! A letter is a record of `<topic>.dlq` or `coafi.unprocessed` ([`Letter`]). A topic cannot be deleted from in the middle, so
//! what was done with a letter is its state, in the compacted topic `coafi.dlq.state` ([`States`]); one without a state waits.
//!
//! A redrive ([`Redrive`]) sends the original record to its source topic again, under a number of its own. The record, its
//! audit record and its state are one Kafka transaction (`writer`), so that whatever interrupts it, each letter has been
//! sent once or not at all, and the state says which. What came of it is read from the audit topic (`watch`): that a record
//! was sent is never reported as success.
//!
//! Knows no handler and no route.

#![allow(clippy::disallowed_methods, reason = "edge: deadlines of brokers, and threads that read")]

mod deliveries;
mod letter;
mod lookback;
mod order;
mod original;
mod pace;
mod placing;
mod purge;
mod redrive;
mod report;
mod running;
mod selection;
mod standing;
mod states;
mod watch;
mod writer;

pub use letter::{Letter, LetterId, NotALetterId};
pub use order::{Actor, Cluster, Heard, Meant, Order, Sends};
pub use original::{Refusal, Source, Sources};
pub use purge::Purge;
pub use redrive::{Redrive, RedriveError};
pub use report::{Fate, Reported};
pub use selection::{Letters, LettersError, Next, Selection, existing, stretches_of};
pub use standing::Standing;
pub use states::{StateError, States};
pub use watch::WatchError;
pub use writer::WriteError;

/// The compacted topic of states and claims.
pub const STATE_TOPIC: &str = "coafi.dlq.state";
