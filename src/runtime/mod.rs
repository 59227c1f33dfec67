//! Time, tasks and shutdown: the only place (with the edges) that reads a clock or spawns.

#![allow(clippy::disallowed_methods, reason = "edge: time, tasks and their waiting are made here")]

mod clock;

pub use clock::Clock;
