//! COAFI registries: what the handlers know about documents, refs and systems, and what others keep, as entries of the
//! [`crate::store`].
//!
//! Names and shapes of entries, the rules of registries that the configuration names, who is told of changes, and the words
//! that entries are found by. It knows neither SQL nor where an entry's facts come from, and [`crate::dispatch::once`] writes
//! them.

mod archived;
pub mod dependants;
pub mod documents;
mod name;
pub mod refs;
mod rules;
pub mod systems;
pub mod words;

pub use archived::Archived;
pub use name::{MAX_NAME_BYTES, entry_name};
pub use rules::{Dependant, Rule, Rules};

/// Registries whose changes nobody is told of: telling writes to them, or they say who is told.
pub const TELL_NOBODY: [&str; 3] = ["escalations", "notifications", dependants::REGISTRY];

/// Registries that follow from events of other kinds: nobody else writes to them.
pub const KEPT_BY_HANDLERS: [&str; 3] = [documents::REGISTRY, refs::REGISTRY, systems::REGISTRY];
