//! The YAML that people write for COAFI. One reading of it everywhere: YAML 1.2's booleans, so that a route may be called
//! `off` and a topic `on`.

use serde::de::DeserializeOwned;

/// # Errors
/// What is not YAML or has another shape, with line and column.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
}
