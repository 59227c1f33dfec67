//! One contract, every implementation.
mod registry;
mod store;
