//! Real servers for tests and for `make up`: a Kafka broker (KRaft), a schema registry (Apicurio, Confluent's API) and
//! Postgres, as Docker containers where Docker answers, else as processes of this machine.
//!
//! - [`Kafka`], [`Registry`] and [`Postgres`] are servers of one test: on free ports, with their data in a temporary
//!   directory, to be killed, paused and restarted at will. They end with their handle. If the whole process dies first,
//!   however it dies, the [`reaper`] ends them.
//! - [`KafkaCluster`] is several brokers, any of which may be broken, for tests of what a single one cannot show.
//! - [`GitHost`] is a git repository over HTTP that may go away.
//! - [`Stack`] is all three under a name, on fixed ports, outliving whoever started it: `make up` and `make down`.
//! - The binary `coafi-testcontainers` is both for the command line; its verb `run` gives a command a stack of its own.
//!
//! The crate knows nothing about COAFI: no topics, no schemas, no tables. It is synchronous; async tests call it from
//! `spawn_blocking` or simply block, since starting a server is not what they measure.

// Starting servers is waiting for them: this crate reads clocks, sleeps between probes, and is no part of the product.
#![allow(clippy::disallowed_methods, reason = "edge: test harness")]

mod backup;
mod docker;
mod git_host;
mod native;
mod port;
mod probe;
mod process;
mod proxied;
pub mod reaper;
pub mod runner;
mod server;
mod service;
mod stack;
mod tools;

pub use git_host::GitHost;
pub use port::{free_address, listen};
pub use proxied::KafkaCluster;
pub use server::{Kafka, Postgres, Registry, SecuredKafka, Server};
pub use service::Service;
pub use stack::{Ports, Stack, Started, Status, exports};
