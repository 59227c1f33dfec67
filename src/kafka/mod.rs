//! The Kafka edge: poll loop, producers, transactions, rebalances, admin, the embedded cluster.

pub mod admin;
mod application;
pub mod topics;

pub use application::{Application, PolledBatch};
