//! Against a real Kafka and schema registry.
mod git_connector;
mod topics;
