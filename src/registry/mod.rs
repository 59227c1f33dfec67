//! COAFI registries: what the handlers know about documents, refs and systems, as entries of the [`crate::store`].
//!
//! Thin on purpose: names and shapes of entries. It knows neither SQL nor where an entry's facts come from, and
//! [`crate::dispatch::once`] writes them.

pub mod documents;
mod name;
pub mod refs;
pub mod systems;

pub use name::{MAX_NAME_BYTES, entry_name};

/// Registries that follow from events of other kinds: nobody else writes to them.
pub const KEPT_BY_HANDLERS: [&str; 3] = [documents::REGISTRY, refs::REGISTRY, systems::REGISTRY];
