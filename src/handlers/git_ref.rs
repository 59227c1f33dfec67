//! `git.push` and `git.tag`: keeps the registry of refs.

use std::sync::Arc;

use async_trait::async_trait;

use super::git_commit::payload::{object_id, text, without_credentials};
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once, registry_changes};
use crate::event::Event;
use crate::registry::refs;
use crate::schema::Payload as _;
use crate::schema::payloads::{GitPush, GitTag};

/// Bytes of a repository's URL and of a ref's name.
const MAX_BYTES: usize = 2_048;

inventory::submit! {
    Registration {
        name: "git_ref",
        summary: "keeps the registry of refs: where branches and tags point",
        build: |_| Ok(Arc::new(GitRefHandler)),
    }
}

struct GitRefHandler;

/// What both event types say.
struct Moved {
    repository_url: String,
    name: String,
    before: Option<String>,
    /// `None`: the ref was deleted.
    after: Option<String>,
    forced: bool,
}

#[async_trait]
impl Handler for GitRefHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let moved = moved(event, context).await?;
        moved.check()?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let Moved { repository_url, name, before, after, forced } = moved;
        let utids = once::utids(event);
        let (change, message) = match after {
            Some(commit_sha) => {
                let message = format!("{name} is at {commit_sha}");
                (refs::put(&refs::Ref { repository_url, name, commit_sha, previous_sha: before, forced }, utids), message)
            }
            None => (refs::remove(&repository_url, &name, utids), format!("{name} is gone")),
        };
        let changes = vec![change];
        let success = Success { message, ..Success::default() };
        let success = registry_changes::told(event, context, &changes, success).await?;
        once::commit(event, context, changes, success).await
    }
}

async fn moved(event: &Event, context: &Context<'_>) -> Result<Moved, Failure> {
    let codec = &context.services.codec;
    match event.event_type() {
        GitPush::EVENT_TYPE => {
            let push: GitPush = codec.decode(event).await?;
            Ok(Moved {
                repository_url: without_credentials(&push.repository_url),
                name: format!("refs/heads/{}", push.branch),
                before: push.before,
                after: push.after,
                forced: push.forced,
            })
        }
        GitTag::EVENT_TYPE => {
            let tag: GitTag = codec.decode(event).await?;
            Ok(Moved {
                repository_url: without_credentials(&tag.repository_url),
                name: format!("refs/tags/{}", tag.tag),
                forced: tag.previous_sha.is_some() && tag.commit_sha.is_some(),
                before: tag.previous_sha,
                after: tag.commit_sha,
            })
        }
        other => {
            let allowed = [GitPush::EVENT_TYPE, GitTag::EVENT_TYPE].join(", ");
            Err(Failure::permanent("wrong_event_type", format!("git_ref cannot handle {other:?}; allowed: {allowed}")))
        }
    }
}

impl Moved {
    fn check(&self) -> Result<(), Failure> {
        let mut errors = Vec::new();
        for (name, value) in [("repositoryUrl", &self.repository_url), ("ref", &self.name)] {
            errors.extend(text(value, MAX_BYTES).map(|error| format!("{name} {error}")));
        }
        for (name, sha) in [("before", &self.before), ("after", &self.after)] {
            errors.extend(sha.as_deref().and_then(object_id).map(|error| format!("{name} {error}")));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let mut failure = Failure::invalid("invalid_payload", errors.join("; "));
        failure.errors = errors;
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::Class;
    use crate::handlers::git_commit::tests::world::World;
    use crate::registry::entry_name;

    const URL: &str = "https://user:secret@example.org/r.git";
    const PUBLIC_URL: &str = "https://example.org/r.git";

    fn push(before: Option<String>, after: Option<String>) -> Value {
        json!({
            "repositoryUrl": URL, "branch": "main", "before": before, "after": after, "forced": true,
            "commitCount": 1, "observedAt": 0,
        })
    }

    async fn stored(world: &World, name: &str) -> Option<refs::Ref> {
        let entry = world.store.entry(refs::REGISTRY, &entry_name(PUBLIC_URL, &[name.as_bytes()])).await.unwrap();
        entry.map(|entry| serde_json::from_value(entry.data).unwrap())
    }

    #[tokio::test]
    async fn a_branch_is_where_it_was_pushed_to_until_it_is_deleted() {
        let world = World::new().await;
        let (old, new) = ("1".repeat(40), "2".repeat(40));
        let moved = push(Some(old.clone()), Some(new.clone()));
        world.handle_by(&GitRefHandler, "git.push", &moved).await.unwrap();
        let expected = refs::Ref {
            repository_url: PUBLIC_URL.to_owned(),
            name: "refs/heads/main".to_owned(),
            commit_sha: new.clone(),
            previous_sha: Some(old),
            forced: true,
        };
        assert_eq!(stored(&world, "refs/heads/main").await, Some(expected));
        world.handle_by(&GitRefHandler, "git.push", &push(Some(new), None)).await.unwrap();
        assert_eq!(stored(&world, "refs/heads/main").await, None);
    }

    #[tokio::test]
    async fn a_tag_is_kept_apart_from_a_branch() {
        let world = World::new().await;
        let tag = json!({
            "repositoryUrl": URL, "tag": "main", "action": "created", "commitSha": "3".repeat(40),
        });
        world.handle_by(&GitRefHandler, "git.tag", &tag).await.unwrap();
        assert_eq!(stored(&world, "refs/tags/main").await.map(|r| (r.commit_sha, r.forced)), Some(("3".repeat(40), false)));
        assert_eq!(stored(&world, "refs/heads/main").await, None);
    }

    #[tokio::test]
    async fn wrong_fields_and_wrong_types_have_their_class() {
        let world = World::new().await;
        let bad = world.handle_by(&GitRefHandler, "git.push", &push(None, Some("HEAD".into()))).await.unwrap_err();
        assert_eq!((bad.class, bad.errors.len()), (Class::Invalid, 1));
        let other = world.handle_by(&GitRefHandler, "git.commit", &json!({})).await.unwrap_err();
        assert_eq!((other.class, other.code), (Class::Permanent, "wrong_event_type"));
    }
}
