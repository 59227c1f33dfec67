//! What decides where something is found again: identities, lanes, partitions, and the ids under which a successor fences
//! its predecessor.

use coafi::bitt::partition_of;
use coafi::connectors::SourceId;
use coafi::event::{Identity, lane_hash};
use coafi::kafka::Config;

use super::{lines, versions};

fn hashes() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (source, id, redrive) in [("/git/repo", "main@9fceb02", 0), ("/git/repo", "main@9fceb02", 3), ("", "é", 0)] {
        all.push((
            format!("identity:{source}|{id}|{redrive}"),
            format!("{:032x}", Identity::new(source, id, redrive).0),
        ));
    }
    for key in ["", "repo-1", "https://example.org/repo.git"] {
        all.push((format!("lane:{key}"), format!("{:016x}", lane_hash(key.as_bytes()))));
        all.push((format!("audit-partition:{key}"), partition_of(key.as_bytes(), 12).to_string()));
    }
    let source = SourceId::new("git", "https://example.org/repo.git");
    all.push(("source:partition".into(), source.partition(12).to_string()));
    all.push(("source:transactional.id".into(), source.transactional_id()));
    all.push(("source:key".into(), source.key("refs/heads/main")));
    for slot in ["coafi-0", "a/b%c"] {
        let config = Config::new("127.0.0.1:1", "group", slot, &[]);
        all.push((format!("replica:{slot}"), config.transactional_id()));
    }
    all
}

#[test]
fn hashes_and_ids_are_those_of_every_version() {
    for version in versions() {
        assert_eq!(hashes(), lines(&version.join("hashes.txt")), "{}", version.display());
    }
}
