//! The engine: which record may run, what becomes of it, and what may be committed. A pure state machine.
//!
//! It imports `std`, [`crate::event`] and itself; time and randomness are arguments. Inputs are the methods of
//! [`Engine`], each with the time at which it happened; [`Engine::poll_effect`] yields what the driver is to do. The same
//! code runs in production under `src/kafka` and in `tests/simulation` under virtual time.
//!
//! What it keeps: I1–I8 of `docs/invariants.md`.

mod admission;
mod alone;
mod api;
mod assignment;
mod census;
mod circuit;
mod class;
mod commit;
mod dedup;
mod dispatching;
mod fairness;
mod inspect;
mod lanes;
mod machine;
pub mod offset_map;
mod outages;
mod outcome;
mod partition;
mod rerouting;
pub mod retry;
mod settings;
mod suspicion;
#[cfg(test)]
mod tests;
mod time;
mod tracker;
mod transaction;

pub use api::*;
pub use assignment::Assignment;
pub use census::Census;
pub use class::{Class, Dependency};
pub use fairness::Quota as TenantQuota;
pub use inspect::{Hold, Inspection, Reason};
pub use machine::Engine;
pub use rerouting::Rerouted;
pub use settings::{CircuitSettings, Exhausted, HandlerList, Ordering, Overflow, RoutePolicy, Settings, TenantPolicy};
pub use time::Time;
