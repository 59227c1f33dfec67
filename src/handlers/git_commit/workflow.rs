//! The event that starts `GitCommitProcessingWorkflow`.

use serde_json::json;

use super::report::{Bounded, FileResult, MAX_EVENT_BYTES};
use crate::dispatch::workflow_request::{self, WorkflowRequest};
use crate::dispatch::{Context, Failure, NewEvent};
use crate::schema::payloads::GitCommit;

pub(super) const WORKFLOW: &str = "GitCommitProcessingWorkflow";
const SOURCE: &str = "/coafi/handlers/git_commit";

/// # Errors
/// As [`workflow_request::event`].
pub(super) async fn request(
    context: &Context<'_>,
    workflow_id: &str,
    commit: &GitCommit,
    results: &[FileResult],
) -> Result<NewEvent, Failure> {
    let results = Bounded::of(results, MAX_EVENT_BYTES);
    let author = format!("{} <{}>", commit.author.name, commit.author.email);
    let input = json!({
        "commitSha": commit.commit_sha,
        "repositoryUrl": commit.repository_url,
        "branch": commit.branch,
        "author": author,
        "fileResults": results.file_results,
        "filesOmitted": results.omitted,
        "summary": results.summary,
    });
    let request = WorkflowRequest {
        workflow: WORKFLOW,
        workflow_id,
        input,
        utids: commit.utids.clone(),
        source: SOURCE,
        subject: Some(commit.commit_sha.clone()),
        key: commit.repository_url.clone(),
    };
    workflow_request::event(context, request).await
}
