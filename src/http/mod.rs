//! The process' HTTP face: `/health`, `/ready` and `/metrics`.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/health` | the poll loop came round within `http.liveness_timeout` | it did not: restart the process |
//! | `/ready` | every [`Condition`] holds | JSON that names those that do not: send no work here |
//! | `/metrics` | Prometheus text format 0.0.4 | |
//!
//! They know nothing of Kafka, databases or registries: conditions are handed in. `/health` asks no dependency, because
//! restarting a process does not bring its database back.
//!
//! [`api`] is the other face, on an address of its own: requests that become events.

#![allow(clippy::disallowed_methods, reason = "edge: a server task, and the grace of its shutdown")]

pub mod api;
mod connections;
mod monitor;
mod patience;
mod readiness;
mod server;

#[cfg(test)]
mod tests;

pub use connections::ConnectionLimits;
pub use monitor::Monitor;
pub use readiness::{Condition, Readiness, Report, Said};
pub use server::{HttpError, Server};
