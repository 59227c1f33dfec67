//! Git repositories as a trigger source, and as something that handlers read from.

/// Opens, clones and caches repositories; what handlers read commits through.
#[derive(Debug, Default)]
pub struct Repositories;
