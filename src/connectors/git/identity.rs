//! What identifies a git event: its source, id, subject and key.
//!
//! Derived from the event alone, so that a poll and a webhook come to the same record key and CloudEvents identity, meet
//! in one partition, and are found to be duplicates there:
//!
//! | event | id | subject |
//! |---|---|---|
//! | `git.commit` | `<branch>@<sha>` | sha |
//! | `git.push` | `refs/heads/<branch>@<before>..<after>` | branch |
//! | `git.tag` | `refs/tags/<tag>@<before>..<after>` | tag |
//!
//! Source and key are the repository's normalised URL ([`RepositoryId`]). `before` and `after` are what the ref itself
//! names (of an annotated tag, its tag object), as in GitHub's and GitLab's webhooks; 40 zeros where there is none. So two
//! pushes that move a branch between the same two commits in the same direction have the same id: within a consumer's
//! deduplication window the second counts as a duplicate.

use std::path::Path;

use serde_json::Value;

use super::{Address, RepositoryId};

const NONE: &str = "0000000000000000000000000000000000000000";

/// The identifying attributes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub source: String,
    pub id: String,
    pub subject: String,
    pub key: String,
}

impl Identity {
    #[must_use]
    pub fn of_commit(repository: &RepositoryId, branch: &str, sha: &str) -> Self {
        Self::new(repository, format!("{branch}@{sha}"), sha)
    }

    #[must_use]
    pub fn of_push(repository: &RepositoryId, branch: &str, before: Option<&str>, after: Option<&str>) -> Self {
        Self::new(repository, moved("heads", branch, before, after), branch)
    }

    #[must_use]
    pub fn of_tag(repository: &RepositoryId, tag: &str, before: Option<&str>, after: Option<&str>) -> Self {
        Self::new(repository, moved("tags", tag, before, after), tag)
    }

    /// The identity of an event whose data is `data`, if its type is one of git's and the data has what it takes.
    #[must_use]
    pub fn of_data(event_type: &str, data: &Value, base: &Path) -> Option<Self> {
        let text = |name: &str| data.get(name).and_then(Value::as_str);
        let repository = Address::parse(text("repositoryUrl")?, base).ok()?.id;
        Some(match event_type {
            "git.commit" => Self::of_commit(&repository, text("branch")?, text("commitSha")?),
            "git.push" => Self::of_push(&repository, text("branch")?, text("before"), text("after")),
            "git.tag" => {
                let after = text("tagObjectSha").or_else(|| text("commitSha"));
                Self::of_tag(&repository, text("tag")?, text("previousSha"), after)
            }
            _ => return None,
        })
    }

    fn new(repository: &RepositoryId, id: String, subject: &str) -> Self {
        let repository = repository.to_string();
        Self { source: repository.clone(), id, subject: subject.to_owned(), key: repository }
    }
}

fn moved(kind: &str, name: &str, before: Option<&str>, after: Option<&str>) -> String {
    format!("refs/{kind}/{name}@{}..{}", before.unwrap_or(NONE), after.unwrap_or(NONE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(event_type: &str, data: Value, id: &str) {
        let identity = Identity::of_data(event_type, &data, Path::new("/")).unwrap();
        assert_eq!((identity.id.as_str(), identity.key.as_str()), (id, "https://host/o/r"));
        assert_eq!(identity.source, identity.key);
    }

    #[test]
    fn identities_are_derived_from_the_data_alone() {
        let url = "https://token@HOST/o/r.git";
        check("git.commit", json!({"repositoryUrl": url, "branch": "main", "commitSha": "a1"}), "main@a1");
        let push = json!({"repositoryUrl": "git@host:o/r", "branch": "main", "before": "a1", "after": null});
        check("git.push", push, &format!("refs/heads/main@a1..{NONE}"));
        let tag = json!({"repositoryUrl": url, "tag": "v1", "commitSha": "a1", "tagObjectSha": "b2"});
        check("git.tag", tag, &format!("refs/tags/v1@{NONE}..b2"));
        assert_eq!(Identity::of_data("git.commit", &json!({"branch": "main"}), Path::new("/")), None);
        assert_eq!(Identity::of_data("ai.run.started", &json!({"repositoryUrl": url}), Path::new("/")), None);
    }
}
