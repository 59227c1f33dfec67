//! What a store's error means for the attempt of a handler.

use super::StoreError;
use crate::dispatch::Failure;
use crate::engine::Dependency;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { .. } => Self::systemic(Dependency::DATABASE, "database_unavailable", error),
            StoreError::Fenced { .. } => Self::transient(Self::FENCED, error),
            StoreError::VersionConflict { .. } => Self::transient("version_conflict", error),
            StoreError::Conflict(_) => Self::transient("database_conflict", error),
            StoreError::Other(_) => Self::permanent("database_error", error),
        }
    }
}
