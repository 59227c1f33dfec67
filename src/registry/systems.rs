//! The registry of systems of other domains, as their notifications say.

use serde::{Deserialize, Serialize};

use crate::store::EntryChange;

/// The registry's name.
pub const REGISTRY: &str = "federated-systems";

/// One system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct System {
    pub domain: String,
    pub system: String,
    pub version: Option<String>,
    pub status: Option<String>,
    /// Since when it has this version and status, RFC 3339.
    pub since: String,
    /// When the newest notification was sent, milliseconds since the Unix epoch.
    pub updated_at: i64,
    /// The newest notification.
    pub message_id: String,
}

/// What the system's entry is called. A domain's name has no slash.
#[must_use]
pub fn entry(domain: &str, system: &str) -> String {
    format!("{domain}/{system}")
}

/// Writes the system over the entry's `version` (0: there is none).
#[must_use]
pub fn put(system: &System, version: i64, utids: Option<String>) -> EntryChange {
    let data = serde_json::to_value(system).expect("strings and numbers are JSON");
    let change = EntryChange::new(REGISTRY, entry(&system.domain, &system.system), Some(data), utids);
    EntryChange { expected_version: Some(version), ..change }
}
