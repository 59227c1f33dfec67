//! Time, tasks and shutdown: the only place (with the edges) that reads a clock or spawns.

#![allow(clippy::disallowed_methods, reason = "edge: time, tasks and their waiting are made here")]

mod clock;
mod hangup;
mod shutdown;
mod summary;
mod tasks;

pub use clock::{Clock, unix_ms};
pub use hangup::Hangup;
pub use shutdown::{Shutdown, SignalError};
pub use summary::{Events, FileCounts, Files, Summary};
pub use tasks::{TaskError, Tasks};
