//! Against a real Kafka and schema registry.
mod topics;
