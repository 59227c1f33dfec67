//! `git.tag`: a tag that was created, moved or deleted.

use serde::{Deserialize, Serialize};

use super::{Encodes, Person};
use crate::schema::{Payload, embedded};

/// `org.coafi.events.GitTagEventPayload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitTag {
    /// URL or path of the repository as it is configured, without credentials.
    pub repository_url: String,
    /// Short name.
    pub tag: String,
    pub action: TagAction,
    /// What the tag points to in the end; `None` when deleted.
    #[serde(default)]
    pub commit_sha: Option<String>,
    /// What it pointed to before; `None` when created.
    #[serde(default)]
    pub previous_sha: Option<String>,
    /// The tag object of an annotated tag.
    #[serde(default)]
    pub tag_object_sha: Option<String>,
    #[serde(default)]
    pub tagger: Option<Person>,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub tagged_at: Option<i64>,
    #[serde(default)]
    pub utids: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TagAction {
    Created,
    Moved,
    Deleted,
}

impl Payload for GitTag {
    const EVENT_TYPE: &'static str = "git.tag";
    const RECORD_NAME: &'static str = "org.coafi.events.GitTagEventPayload";
    const SCHEMA: &'static str = embedded::GIT_TAG;
}

impl Encodes<Self> for GitTag {}
