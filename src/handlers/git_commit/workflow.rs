//! The event that starts `GitCommitProcessingWorkflow`.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::artifact::hex;
use super::report::{Bounded, FileResult, MAX_EVENT_BYTES};
use crate::dispatch::{Context, Failure, NewEvent, once};
use crate::event::Event;
use crate::schema::payloads::{GitCommit, WorkflowRequested};
use crate::schema::{Codec, Payload as _};

const WORKFLOW: &str = "GitCommitProcessingWorkflow";
const TOPIC: &str = "coafi.workflow";
const SOURCE: &str = "/coafi/handlers/git_commit";

/// The workflow's id: the same whenever the event is handled again (I9), another for a redrive or a replay.
pub(super) fn id(event: &Event, context: &Context<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [WORKFLOW, event.source(), event.id(), &once::run(event, context)] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("wf-{}", &hex(&hash.finalize())[..32])
}

/// The derived event. (That it was derived is a step of the outcome record by way of `Success::workflow_id`.)
///
/// # Errors
/// As [`Codec::encode`].
pub(super) async fn request(
    codec: &Codec,
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
    let requested = WorkflowRequested {
        workflow: WORKFLOW.to_owned(),
        workflow_id: workflow_id.to_owned(),
        input: input.to_string(),
        utids: commit.utids.clone(),
    };
    Ok(NewEvent {
        topic: TOPIC.to_owned(),
        id: workflow_id.to_owned(),
        source: SOURCE.to_owned(),
        event_type: WorkflowRequested::EVENT_TYPE.to_owned(),
        subject: Some(commit.commit_sha.clone()),
        key: commit.repository_url.clone(),
        data: codec.encode(TOPIC, &requested).await?,
    })
}
