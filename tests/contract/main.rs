//! One contract, every implementation.

#![allow(clippy::disallowed_methods, reason = "test harness: tasks that race each other")]
mod figures;
mod notices;
mod older_database;
mod registries;
mod registry;
mod requests;
mod store;
mod workflows;
