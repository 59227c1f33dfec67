//! What the environment would silently replace: a value of the file where a variable sets a key below it.
//!
//! `kafka: 7` is no mapping. Merged with `COAFI__KAFKA__SLOT` it would be gone, and nobody told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Problem;
use super::values::ENVIRONMENT_PREFIX;

/// The values of the file at `origin` that are no mappings and that a variable names a key of.
pub(super) fn replaced(
    origin: &str,
    file: &BTreeMap<String, Value>,
    environment: &BTreeMap<String, String>,
) -> Vec<Problem> {
    let mut replaced = BTreeMap::new();
    let prefix = format!("{ENVIRONMENT_PREFIX}__");
    for path in environment.keys().filter_map(|name| name.strip_prefix(&prefix)) {
        let path = path.to_lowercase();
        let mut keys: Vec<&str> = path.split("__").collect();
        // The last one is what the variable sets.
        keys.pop();
        let Some((first, below)) = keys.split_first() else { continue };
        let mut found = file.get(*first);
        let mut at = (*first).to_owned();
        for key in below {
            let Some(Value::Object(mapping)) = found else { break };
            found = mapping.get(*key);
            at = format!("{at}.{key}");
        }
        if let Some(value) = found.filter(|value| !matches!(value, Value::Object(_) | Value::Null)) {
            let message = format!("{value} is not allowed; allowed: a mapping of keys to values");
            replaced.insert(at.clone(), Problem { origin: origin.to_owned(), key: at, message });
        }
    }
    replaced.into_values().collect()
}
