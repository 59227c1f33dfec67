//! The audit log as a trigger source: records that somebody watches for become events of `coafi.bitt`.
//!
//! An event that was caused by one of these events would be watched for too, and so on for ever. So a record is passed over if
//! it is about an event of `coafi.bitt` or about one that follows from such an event: those have a correlation id that ends in
//! [`WATCHED`](crate::event::incoming::WATCHED), which derived events, workflows and timers inherit. At most one event follows from a record for each watch.

mod record;
mod translate;
mod watch;

pub use translate::{AuditLog, BITT_TOPIC};
pub use watch::{BadWatchPattern, Watch, WatchPatterns};

/// The connector's name in source ids.
pub const CONNECTOR: &str = "bitt";
