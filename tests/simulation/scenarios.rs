//! Directed scenarios.
