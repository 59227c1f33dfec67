//! `git.commit`: validates the files that a commit changed, generates documentation for valid Markdown, keeps the registry
//! of documents, whose dependants are told, and starts `GitCommitProcessingWorkflow`.
//!
//! An invalid file is a result, not a failure: the event is processed. It refuses to know how repositories are fetched and
//! what happens to a failed event. Its effects are exactly-once: pages are named by their content, and registry entries
//! are written in one SQL transaction with an inbox row that holds the complete result (I4, I9).

mod artifact;
mod check;
mod files;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod json;
mod links;
mod markdown;
pub(crate) mod payload;
mod problems;
mod report;
mod workflow;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::check::{Checked, Checker};
use self::files::CommitFiles;
use self::report::{Bounded, MAX_OUTCOME_BYTES};
use crate::connectors::git::{Blob, ChangeStatus, ChangedFile, EntryType};
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once, registry_changes, workflow_request};
use crate::event::Event;
use crate::registry::documents;
use crate::schema::FileType;
use crate::schema::payloads::GitCommit;
use crate::store::EntryChange;


pub use report::{FileResult, GenerationResult, Summary, ValidationResult, Validity};

/// A larger file is invalid without being read.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// Files of one commit that are read and checked at a time.
pub const FILES_IN_PARALLEL: usize = 8;
/// Changed files of one commit; a larger commit is dead-lettered whole.
pub const MAX_FILES: usize = 100_000;
/// Smaller texts are parsed where they are: handing them to another thread would cost more.
const INLINE_BYTES: usize = 16 * 1024;

inventory::submit! {
    Registration {
        name: "git_commit",
        summary: "validates changed files, generates documentation, updates the registry of documents",
        build: |_| Ok(Arc::new(GitCommitHandler)),
    }
}

struct GitCommitHandler;

#[async_trait]
impl Handler for GitCommitHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let commit = payload::checked(context.services.codec.decode(event).await?)?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        if let Some(host) = context.services.repositories.host_of(&commit.repository_url) {
            context.asks(&host)?;
        }
        let files = files::RepositoryCommit {
            repositories: Arc::clone(&context.services.repositories),
            url: commit.repository_url.clone(),
            sha: commit.commit_sha.clone(),
        };
        let (changed, checked) = check_all(&files, &commit, context).await?;
        let changes = changes(&commit, &changed, &checked, once::utids(event));
        let success = success(event, context, &commit, checked).await?;
        let success = registry_changes::told(event, context, &changes, success).await?;
        once::commit(event, context, changes, success).await
    }
}

async fn check_all(
    files: &dyn CommitFiles,
    commit: &GitCommit,
    context: &Context<'_>,
) -> Result<(Vec<ChangedFile>, Vec<Checked>), Failure> {
    let changed = files.changed().await?;
    if changed.len() > MAX_FILES {
        let message = format!("commit changes {} files; at most {MAX_FILES} are allowed", changed.len());
        return Err(Failure::permanent("commit_too_large", message));
    }
    let checker = Checker {
        files,
        schemas: &context.services.json_schemas,
        artifacts: &*context.services.artifacts,
        repository: &commit.repository_url,
    };
    let checks: Vec<_> = changed.iter().map(|file| checker.check(file)).collect();
    let checked = stream::iter(checks).buffered(FILES_IN_PARALLEL).try_collect().await?;
    Ok((changed, checked))
}

/// Changes to the registry of documents: tracked files ([`FileType::is_tracked`]) are put, deleted and moved ones removed. Removals are put
/// in first, so that two files that swap names both stay.
fn changes(
    commit: &GitCommit,
    changed: &[ChangedFile],
    checked: &[Checked],
    utids: Option<String>,
) -> Vec<EntryChange> {
    let mut by_path: BTreeMap<&[u8], EntryChange> = BTreeMap::new();
    let gone = changed.iter().filter_map(|file| match file.status {
        ChangeStatus::Deleted | ChangeStatus::TypeChanged => Some(&file.path),
        ChangeStatus::Renamed => file.old_path.as_ref(),
        ChangeStatus::Added | ChangeStatus::Modified => None,
    });
    for path in gone.filter(|path| FileType::is_tracked(path)) {
        by_path.insert(path, documents::remove(&commit.repository_url, &commit.branch, path, utids.clone()));
    }
    for (file, Checked { result, title }) in changed.iter().zip(checked) {
        // A link has no content of its own, whatever it is called.
        let is_file = matches!(file.kind, EntryType::File | EntryType::Executable);
        if file.status == ChangeStatus::Deleted || !is_file || !FileType::is_tracked(&file.path) {
            continue;
        }
        let artifact = match &result.generation_result {
            Some(GenerationResult::Generated(artifact)) => Some(artifact),
            _ => None,
        };
        let document = documents::Document {
            repository_url: commit.repository_url.clone(),
            path: result.path.clone(),
            title: title.clone(),
            file_type: result.file_type.name().to_owned(),
            valid: result.validation_result.valid,
            errors: result.validation_result.errors.clone(),
            branch: commit.branch.clone(),
            commit_sha: commit.commit_sha.clone(),
            artifact_path: artifact.map(|artifact| artifact.artifact_path.clone()),
            artifact_sha256: artifact.map(|artifact| artifact.sha256.clone()),
            moved_from: result.old_path.clone(),
        };
        by_path.insert(&file.path, documents::put(&file.path, &document, utids.clone()));
    }
    by_path.into_values().collect()
}

async fn success(
    event: &Event,
    context: &Context<'_>,
    commit: &GitCommit,
    checked: Vec<Checked>,
) -> Result<Success, Failure> {
    let results: Vec<FileResult> = checked.into_iter().map(|checked| checked.result).collect();
    let bounded = Bounded::of(&results, MAX_OUTCOME_BYTES);
    let workflow_id = workflow_request::id(workflow::WORKFLOW, event, context);
    let requested = workflow::request(context, &workflow_id, commit, &results).await?;
    let invalid: u32 = bounded.summary.files.values().map(|validity| validity.invalid).sum();
    Ok(Success {
        message: format!("{} files of commit {}, {invalid} of them invalid", results.len(), commit.commit_sha),
        workflow_id: Some(workflow_id),
        data: bounded.data(),
        files_processed: u32::try_from(results.len()).ok(),
        steps: report::steps(&results, &commit.commit_sha, &bounded),
        emit: vec![requested],
        ..Success::default()
    })
}

/// Runs what may take long for a large text on a thread that may block.
async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < INLINE_BYTES {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
pub(crate) mod tests;
