//! What leaves the database, as a file of the archive: one version a line, as JSON. The same versions are the same file.

use std::collections::BTreeMap;

use object_store::path::Path;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::store::StoredVersion;

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// `{folder}/{registry}/{time}-{digest}.jsonl`: by the time of its last version, so that files of a registry are in order.
    pub path: Path,
    pub lines: Vec<u8>,
}

impl Archived {
    /// Of versions of one registry.
    #[must_use]
    pub fn of(folder: &str, registry: &str, versions: &[StoredVersion]) -> Self {
        let lines: Vec<u8> = versions.iter().flat_map(line).collect();
        let last = versions.iter().map(|version| version.updated_ms).max().unwrap_or_default();
        let digest: String = Sha256::digest(&lines)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{last:015}-{digest}.jsonl");
        Self { path: [folder, registry, &name].into_iter().collect(), lines }
    }
}

fn line(version: &StoredVersion) -> Vec<u8> {
    let members = json!({
        "registry": version.registry, "entry": version.entry, "version": version.version, "data": version.data,
        "utids": version.utids, "updatedBy": version.updated_by, "principal": version.principal,
        "source": version.source, "eventId": version.event_id, "updatedMs": version.updated_ms,
    });
    let members: BTreeMap<&String, _> = members.as_object().into_iter().flatten().collect();
    let mut line = serde_json::to_vec(&members).expect("texts and JSON are JSON");
    line.push(b'\n');
    line
}
