//! One contract, every implementation.
mod registry;
