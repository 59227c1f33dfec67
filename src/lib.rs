//! COAFI event handlers: ordered, exactly-once, provable event handling on Kafka.
//!
//! The architecture, outermost first; dependencies point inward only (`tests/tidy.rs` checks it):
//!
//! | layer | modules | may know |
//! |---|---|---|
//! | edges | `cli`, `kafka`, `http`, `store`, `connectors`, `runtime`, `telemetry`, `schema`, `config`, `dlq`, `notify`, `outgoing` | everything below |
//! | application | `dispatch`, `handlers`, `bitt`, `registry`, `group` | `event`, `engine` and the traits of the edges |
//! | core | `engine` | `std`, `event` |
//! | core | `workflow` | `std`, JSON, JSON Schema, `expression`, `jinja`, `numbers`, names of dependencies |
//! | core | `schedule` | `std`, times, cron expressions |
//! | vocabulary | `event` | `std`, bytes |
//! | vocabulary | `expression` | `std`, CEL |
//! | vocabulary | `jinja` | `std`, Jinja |
//! | vocabulary | `numbers` | `std`, JSON |
//!
//! The invariants I1–I10 that code and tests cite are listed in `docs/invariants.md`.

pub mod app;
pub mod bitt;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod dispatch;
pub mod dlq;
pub mod engine;
pub mod event;
pub mod expression;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod group;
pub mod handlers;
pub mod http;
mod jinja;
pub mod kafka;
pub mod notify;
mod numbers;
pub mod outgoing;
pub mod registry;
pub mod runtime;
pub mod schedule;
pub mod schema;
pub mod store;
pub mod telemetry;
pub mod workflow;
mod yaml;
