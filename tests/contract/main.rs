//! One contract, every implementation.
