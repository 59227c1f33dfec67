//! `make chaos`: breaks everything around `coafi consume` from a seed, and counts from outside what came of it.
//!
//! - [`plan`] makes the faults of a seed, [`events`] the events; both are functions of the seed and nothing else.
//! - [`servers`], [`fleet`] and [`proxy`] are what is broken: brokers, registry, database, replicas, and the network between
//!   a replica and its broker.
//! - [`conduct`] does it, one fault after another.
//! - [`run`](run::run) lets the producer write, the faults happen and the replicas catch up, and then has the
//!   [`reconcile`]r compare what was sent with what [`reading`] finds.
//!
//! - [`recovery`] measures how long the end of a replica is felt.
//!
//! The crate does not depend on `coafi`: what judges the product shares no code with it. The product is a binary here,
//! configured by its environment.

// A fault happens at its time: this crate waits by the clock, and is no part of the product.
#![allow(clippy::disallowed_methods, reason = "edge: a schedule of faults, and bounded waits for what they do")]

pub mod conduct;
pub mod events;
pub mod fleet;
mod keeping;
pub mod plan;
pub mod positions;
pub mod producer;
pub mod progress;
pub mod proxy;
pub mod random;
pub mod reading;
pub mod reconcile;
pub mod recovery;
pub mod run;
pub mod servers;
pub mod summary;
pub mod wire;
pub mod world;
