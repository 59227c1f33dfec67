//! Old versions of entries, beyond what their registry keeps: written to the artifact store as JSON lines, then deleted.
//!
//! In this order: whoever dies in between leaves them in both places, and the next round writes them once more. A version is
//! known by registry, entry and number, so that a reader of archives sees that two lines are one. A file is named for what is in
//! it: the same versions are the same file.

use std::convert::Infallible;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio_util::sync::CancellationToken;

use super::purge;
use crate::registry::{Archived, Rules};
use crate::store::{Registries, Requests, StoreError};

/// What begins the files' names.
const FOLDER: &str = "registry-history";
/// Versions of one file; each may be as large as a request.
const BATCH: u32 = 100;

#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the artifact store: {0}")]
    Artifacts(#[from] object_store::Error),
}

/// Archives until `stop`.
pub(super) async fn old_versions(
    store: Arc<dyn Requests>,
    artifacts: Arc<dyn ObjectStore>,
    rules: Arc<Rules>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    purge::rounds("old versions of entries", BATCH, || batch(&*store, &*artifacts, &rules), &stop).await;
    Ok(())
}

/// At most [`BATCH`] versions, of all registries together; fewer if no more are left.
async fn batch(store: &dyn Requests, artifacts: &dyn ObjectStore, rules: &Rules) -> Result<u64, ArchiveError> {
    let mut archived = 0;
    for (registry, kept) in rules.trimmed() {
        let left = BATCH - u32::try_from(archived).unwrap_or(BATCH).min(BATCH);
        if left == 0 {
            break;
        }
        let versions = Registries::outdated_versions(store, registry, kept, left).await?;
        if versions.is_empty() {
            continue;
        }
        let Archived { path, lines } = Archived::of(FOLDER, registry, &versions);
        artifacts.put(&path, lines.into()).await?;
        store.delete_versions(&versions).await?;
        archived += versions.len() as u64;
    }
    Ok(archived)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::Rule;
    use crate::store::{EntryChange, Fence, HistoryKept, InboxKey, Settings, UnitOfWork, open};

    async fn write(store: &dyn Requests, fence: &Fence, registry: &str, n: u32) {
        let (id, run, source) = (format!("{registry}{n}"), String::new(), "/s".to_owned());
        let inbox = InboxKey { group: "g".into(), handler: "h".into(), source, id, run };
        let change = EntryChange {
            registry: registry.to_owned(),
            entry: "a".into(),
            data: Some(json!({"n": n})),
            utids: None,
            principal: None,
            expected_version: None,
            follows: None,
            position: None,
        };
        let work = UnitOfWork {
            inbox,
            fence: fence.clone(),
            changes: vec![change],
            run: None,
            notices: Vec::new(),
            result: b"{}"[..].into(),
        };
        store.commit(work).await.unwrap();
    }

    /// Versions in the archive, each line once for each file that it is in.
    async fn archived(artifacts: &InMemory) -> Vec<(String, i64)> {
        use futures_util::TryStreamExt as _;
        let files: Vec<_> = artifacts.list(Some(&Path::from(FOLDER))).try_collect().await.unwrap();
        let mut versions = Vec::new();
        for file in files {
            let bytes = artifacts.get(&file.location).await.unwrap().bytes().await.unwrap();
            for line in std::str::from_utf8(&bytes).unwrap().lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["data"]["n"], line["version"]);
                versions.push((line["registry"].as_str().unwrap().to_owned(), line["version"].as_i64().unwrap()));
            }
        }
        versions.sort();
        versions
    }

    #[tokio::test]
    async fn what_is_not_kept_is_archived_before_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/store.db", directory.path().display());
        let store = open(&url, &Settings::default()).await.unwrap();
        let fence = store.claim("g", &[("t".into(), 0, 0)]).await.unwrap().remove(0);
        for n in 1..=BATCH + 50 {
            write(&*store, &fence, "parts/éà", n).await;
        }
        write(&*store, &fence, "others", 1).await;
        write(&*store, &fence, "others", 2).await;
        let rule = Rule { kept: HistoryKept { versions: Some(2), age: None }, ..Rule::default() };
        let rules = Rules::new([("parts/éà".to_owned(), rule)].into());
        let artifacts = InMemory::new();

        // Somebody died after the first file was written.
        let first =
            store.outdated_versions("parts/éà", HistoryKept { versions: Some(2), age: None }, BATCH).await.unwrap();
        let Archived { path, lines } = Archived::of(FOLDER, "parts/éà", &first);
        artifacts.put(&path, lines.into()).await.unwrap();

        assert_eq!(batch(&*store, &artifacts, &rules).await.unwrap(), u64::from(BATCH));
        assert_eq!(batch(&*store, &artifacts, &rules).await.unwrap(), 48);
        assert_eq!(batch(&*store, &artifacts, &rules).await.unwrap(), 0);
        let expected: Vec<_> = (1..=i64::from(BATCH) + 48).map(|n| ("parts/éà".to_owned(), n)).collect();
        assert_eq!(archived(&artifacts).await, expected);
        assert_eq!(store.entry_history("parts/éà", "a", None, 500).await.unwrap().len(), 2);
        assert_eq!(store.entry_history("others", "a", None, 500).await.unwrap().len(), 2);
    }
}
