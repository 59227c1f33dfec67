//! Trigger sources: each publishes to its source topic and keeps its own source offsets.

pub mod git;
