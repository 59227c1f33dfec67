//! Single values of the merged configuration: where they came from and how they read as text.

use config::{Value, ValueKind};

/// Prefix of the environment variables; a key's path follows in capitals, with `__` between its parts.
pub(super) const ENVIRONMENT_PREFIX: &str = "COAFI";
/// What the config crate calls the origin of a value from an environment variable.
pub(super) const ENVIRONMENT_ORIGIN: &str = "the environment";

/// The environment variable that sets the key at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}__{}", path.to_uppercase().replace('.', "__"))
}

pub(super) fn origin(path: &str, value: &Value) -> String {
    match value.origin() {
        Some(ENVIRONMENT_ORIGIN) => format!("environment variable {}", variable(path)),
        Some(file) => file.to_owned(),
        None => "configuration".to_owned(),
    }
}

/// A merged table has no origin of its own; something in it has.
pub(super) fn deepest(value: &Value) -> &Value {
    match &value.kind {
        ValueKind::Table(table) if value.origin().is_none() => table.values().next().map_or(value, deepest),
        _ => value,
    }
}

pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty())
}

/// A scalar as text.
pub(super) fn plain(kind: &ValueKind) -> Option<String> {
    match kind {
        ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_) => None,
        scalar => Some(scalar.to_string()),
    }
}

/// A value in an error message.
pub(super) fn shown(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Table(_) => "a mapping".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}
