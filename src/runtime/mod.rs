//! Time, tasks and shutdown: the only place (with the edges) that reads a clock or spawns.

mod clock;

pub use clock::Clock;
