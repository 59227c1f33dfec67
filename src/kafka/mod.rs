//! The Kafka edge: it carries the engine's effects out.
//!
//! | thread | owns | file |
//! |---|---|---|
//! | `coafi-poll` | the consumer, the engine | `driver`, `seat`, `polling`, `rebalance`, `placing`, `effects`, `ends` |
//! | `coafi-writer` | the producer of outcomes, staged outputs | `writer`, `transactions`, `succession`, `at_least_once` |
//! | `coafi-receipts` | the producer of receipts | `receipts` |
//! | `coafi-lookup` | questions about offsets, the database's claim | `lookup` |
//! | `coafi-windows` | reading deduplication windows back | `dedup` |
//! | `coafi-vacancies` | the question whether partitions have no owner | `vacancies` |
//! | `coafi-status` | the producer of the replica's status | `reporting` |
//!
//! Into the poll thread leads one ordered channel ([`Inbox`]). Vendor types stop here: what leaves is a
//! [`Record`](crate::event::Record), what comes in is an [`Outgoing`](crate::event::Outgoing). The rest of the crate is
//! reached through [`Application`].

#![allow(clippy::disallowed_methods, reason = "edge: threads of its own, and deadlines of requests to the broker")]

pub mod acls;
pub mod admin;
mod application;
mod at_least_once;
mod claims;
mod config;
mod context;
mod dedup;
mod drain;
mod driver;
mod effects;
mod embedded;
mod ends;
mod error;
mod facts;
mod fatalities;
pub(crate) mod heard;
mod inbox;
mod incidents;
mod lag;
mod latest;
mod lookup;
mod members;
mod oldest;
mod partitions;
mod placing;
mod polling;
mod proof;
pub mod properties;
mod rebalance;
mod receipts;
mod record;
mod replica;
mod reporting;
mod rerouting;
pub mod scan;
mod seat;
mod side;
mod sink;
mod standing;
mod status;
mod stop;
mod succession;
mod timed_calls;
pub mod topics;
mod transactions;
mod vacancies;
mod writer;

pub use application::{Application, PolledBatch};
pub use claims::{Claims, StoreClaims};
pub use config::{Config, Delivery, Start};
pub use drain::{Drain, Obstacle};
pub use embedded::{Embedded, MAX_BYTES as EMBEDDED_MAX_BYTES, MAX_RECORDS as EMBEDDED_MAX_RECORDS};
pub use error::DriverError;
pub use facts::{GroupFacts, OpenTransaction, REPORTS_WAIT, Reports, group_facts, group_topics, replica_reports};
pub use inbox::{Inbox, Results};
pub use incidents::Incidents;
pub use lag::{GroupLag, LagError, PartitionOffsets, group_lag, group_positions, is_refusal};
pub use lookup::metadata_of;
pub use members::{Member, Membership};
pub use record::UNREADABLE_HEADERS;
pub use replica::{Parts, Replica, Watch};
pub use reporting::StatusRecords;
pub use rerouting::Rerouter;
pub use standing::{Standing, Standstill, Trouble};
pub use status::{Counts, PartitionStatus, Status};
