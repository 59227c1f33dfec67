//! The Kafka edge: poll loop, producers, transactions, rebalances, admin, the embedded cluster.

mod application;

pub use application::{Application, PolledBatch};
