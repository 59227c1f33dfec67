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

#[cfg(test)]
mod tests {
    use super::*;

    /// Archives are read by others, years later.
    #[test]
    fn a_version_is_the_same_line_and_the_same_file_as_before() {
        let version = StoredVersion {
            registry: "parts".to_owned(),
            entry: "wing-7".to_owned(),
            version: 3,
            data: Some(json!({"n": 7})),
            utids: None,
            updated_by: "RegistryUpdateHandler".to_owned(),
            principal: Some("key:ada".to_owned()),
            source: "/coafi/api".to_owned(),
            event_id: "e-1".to_owned(),
            updated_ms: 1_763_740_800_000,
        };
        let Archived { path, lines } = Archived::of("archive", "parts", &[version.clone(), version]);
        let line = r#"{"data":{"n":7},"entry":"wing-7","eventId":"e-1","principal":"key:ada","registry":"parts","source":"/coafi/api","updatedBy":"RegistryUpdateHandler","updatedMs":1763740800000,"utids":null,"version":3}"#;
        assert_eq!(String::from_utf8(lines).unwrap(), format!("{line}\n{line}\n"));
        assert_eq!(path.as_ref(), "archive/parts/001763740800000-d999b8fe81d785e7.jsonl");
    }
}
