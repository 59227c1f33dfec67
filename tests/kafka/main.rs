//! Against a real Kafka and schema registry.
// Tests wait for servers, so they read clocks.
#![allow(clippy::disallowed_methods, reason = "test harness")]

mod cluster;
mod drain;
mod driver;
mod echo;
mod foreign;
mod git_connector;
mod lag;
mod newer;
mod scan;
mod topics;
