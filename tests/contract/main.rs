//! One contract, every implementation.

mod store;
