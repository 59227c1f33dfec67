//! The offset map: what a committed offset's metadata says about the records above the position.

/// Kafka's default `offset.metadata.max.bytes`.
pub const MAX_METADATA_BYTES: usize = 4096;
