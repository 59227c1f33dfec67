//! What a setting names, and what cannot be used: starting again changes nothing.

use std::error::Error;

/// Found when it is used, not when the configuration is read: a file's content, say.
#[derive(Debug, thiserror::Error)]
#[error("{key}: what it names cannot be used")]
pub struct Misconfigured {
    /// Path of the setting, such as `notifications`.
    pub key: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Misconfigured {
    /// Makes one of an error.
    pub(super) fn by<E: Into<anyhow::Error>>(key: &'static str) -> impl Fn(E) -> Self {
        move |error| Self { key, source: error.into().into() }
    }
}
