//! The Kafka edge: poll loop, producers, transactions, rebalances, admin, the embedded cluster.

mod application;
mod lag;

pub use application::{Application, PolledBatch};
pub use lag::{GroupLag, LagError, PartitionOffsets, group_lag};
