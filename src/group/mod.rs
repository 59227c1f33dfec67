//! A consumer group from outside: how far it is behind, and why a partition does not move.
//!
//! Two sources are put together: what Kafka knows (members, positions, ends, open transactions) and what the replicas have
//! published of themselves in `coafi.status`. The latter tells what nobody outside can see, and is as old as it says: a
//! replica that hangs is known by its silence. Pure: it asks nobody, and the time is an argument.

mod behind;
mod reports;
mod span;
mod view;
mod why;
mod wording;

pub use behind::{Behind, behind};
pub use reports::decode;
pub use span::span;
pub use view::{Owner, View};
pub use why::{Finding, why};
pub use wording::Text;
