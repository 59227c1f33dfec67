//! `git.push`: a monitored branch that moved, appeared or disappeared.

use serde::{Deserialize, Serialize};

use super::Encodes;
use crate::schema::{Payload, embedded};

/// `org.coafi.events.GitPushEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitPush {
    /// URL or path of the repository as it is configured, without credentials.
    pub repository_url: String,
    /// Short name of the branch.
    pub branch: String,
    /// Tip before; `None` for a new branch.
    #[serde(default)]
    pub before: Option<String>,
    /// Tip after; `None` for a deleted branch.
    #[serde(default)]
    pub after: Option<String>,
    /// The tip before is not an ancestor of the tip after.
    #[serde(default)]
    pub forced: bool,
    /// Commits that became reachable.
    pub commit_count: i32,
    /// When the connector saw it; git does not record when a branch moved.
    pub observed_at: i64,
    #[serde(default)]
    pub utids: Vec<String>,
}

impl Payload for GitPush {
    const EVENT_TYPE: &'static str = "git.push";
    const RECORD_NAME: &'static str = "org.coafi.events.GitPushEventPayload";
    const SCHEMA: &'static str = embedded::GIT_PUSH;
}

impl Encodes<Self> for GitPush {}
