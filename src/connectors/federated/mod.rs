//! Messages of other domains: how it is known that they are theirs, and what becomes of them.
//!
//! A message is a CloudEvent whose data is JSON. Either the domain signed it ([`Verifier`]: a JWT with a key of the domain), or
//! the connection to the domain's own Kafka vouches for it. By whichever way it comes, the same message is the same event:
//! its source follows from the domain's configured name, its id is the message's own.
//!
//! Which domain sent it is never taken from the message.

mod envelope;
mod event;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod keys;
mod records;
mod refusal;
mod translate;

pub use envelope::{Claims, Envelope, Lifetime, TYPE, Verified, Verifier, sign};
pub use event::Message;
pub use keys::{BadKey, DomainKey, PrivateKey, PublicKey, Validity};
pub use records::{FEDERATED_TOPIC, Records, source_of};
pub use refusal::{Refusal, Refused};
pub use translate::{Authentication, DomainTopic};

/// The connector's name in source ids.
pub const CONNECTOR: &str = "federated";
