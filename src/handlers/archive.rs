//! `ArchiveTask`: entries of a registry that nobody has changed for long go to the archive, and are deleted then.
//!
//! One event archives at most [`ENTRIES_MAX`] of them, the oldest, in one transaction with its inbox row; what is left waits
//! for the next. The file is written before: whoever dies in between leaves entries in both, and a re-run that finds the same
//! writes the same file. An entry that is changed meanwhile stays, and the attempt is made again.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::config::WrittenDuration;
use crate::dispatch::artifact;
use crate::dispatch::job::{self, Job};
use crate::dispatch::{Context, Failure, Handler, Registration, Success, once};
use crate::event::Event;
use crate::registry::{Archived, KEPT_BY_HANDLERS};
use crate::store::{EntryChange, StoredVersion, Unchanged};

/// What begins the files' names.
const FOLDER: &str = "registry-archive";
/// Of one event and one file, as far as they are a page's size.
const ENTRIES_MAX: u32 = 1_000;
const ALLOWED: &str = "registry: NAME, none of those that follow from other events; older_than: an age such as 90d or 12h; \
     keep: how many entries stay however old they are (default 0)";

inventory::submit! {
    Registration {
        name: "archive",
        summary: "moves entries of a registry that nobody has changed for long to the archive",
        build: |_| Ok(Arc::new(ArchiveHandler)),
    }
}

struct ArchiveHandler;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    registry: String,
    older_than: WrittenDuration,
    #[serde(default)]
    keep: u32,
}

#[async_trait]
impl Handler for ArchiveHandler {
    async fn handle(&self, event: &Event, context: &Context<'_>) -> Result<Success, Failure> {
        let job: Job<Settings> = Job::of(event, context, ALLOWED).await?;
        let before = before(&job)?;
        if let Some(success) = once::earlier(event, context).await? {
            return Ok(success);
        }
        let Settings { registry, keep, .. } = &job.settings;
        let unchanged = Unchanged { before_ms: before.as_millisecond(), kept: *keep };
        let versions = context.services.store.unchanged_entries(registry, unchanged, ENTRIES_MAX).await?;
        if versions.is_empty() {
            let message = format!("{registry} has no entry to archive that is older than {before}");
            return once::commit(event, context, Vec::new(), Success { message, ..Success::default() }).await;
        }
        let Archived { path, lines } = Archived::of(FOLDER, registry, &versions);
        artifact::put(&*context.services.artifacts, &path, lines).await?;
        let message = format!("{} entries of {registry} are archived", versions.len());
        let data = json!({"archived": versions.len(), "artifactPath": path.to_string()});
        let changes = versions.into_iter().map(|version| delete(version, once::utids(event))).collect();
        once::commit(event, context, changes, Success { message, data, ..Success::default() }).await
    }
}

/// What was last changed before this is old.
fn before(job: &Job<Settings>) -> Result<Timestamp, Failure> {
    let Settings { registry, older_than, .. } = &job.settings;
    let refused = |what: String| job::refused(&job.schedule, &what, ALLOWED);
    if registry.is_empty() || KEPT_BY_HANDLERS.contains(&registry.as_str()) {
        return Err(refused(format!("registry {registry:?}")));
    }
    job.due.checked_sub(older_than.0).map_err(|error| refused(format!("older_than: {error}")))
}

/// Only as it was archived.
fn delete(archived: StoredVersion, utids: Option<String>) -> EntryChange {
    let change = EntryChange::new(&archived.registry, archived.entry, None, utids);
    EntryChange { expected_version: Some(archived.version), ..change }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::engine::Class;
    use crate::handlers::git_commit::tests::world::World;
    use crate::store::{Fence, InboxKey, UnitOfWork};

    async fn write(world: &World, entries: usize) {
        let change = |n: usize| EntryChange::new("parts", format!("p{n:04}"), Some(json!({"n": n})), None);
        let (group, source, id) = (world.fence.group.clone(), "/s".to_owned(), "written".to_owned());
        let inbox = InboxKey { group, handler: "h".to_owned(), source, id, run: String::new() };
        let (fence, changes): (Fence, _) = (world.fence.clone(), (0..entries).map(change).collect());
        let work = UnitOfWork { inbox, fence, changes, run: None, notices: Vec::new(), result: b"{}"[..].into() };
        world.store.commit(work).await.unwrap();
    }

    /// Fired long after now, so that what was just written is old.
    fn fired(settings: &Value) -> Value {
        let due = "2100-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        json!({"schedule": "old-parts", "dueAt": due, "firedAt": due, "reason": "fired", "data": settings.to_string()})
    }

    async fn archive(world: &mut World, settings: &Value) -> Result<Success, Failure> {
        world.offset += 1;
        world.handle_by(&ArchiveHandler, "ArchiveTask", &fired(settings)).await
    }

    #[tokio::test]
    async fn the_oldest_entries_are_in_the_archive_and_gone() {
        let mut world = World::new().await;
        let (most, more) = (ENTRIES_MAX as usize, 30);
        write(&world, most + more).await;
        let settings = json!({"registry": "parts", "older_than": "30d", "keep": 10});
        let first = archive(&mut world, &settings).await.unwrap();
        assert_eq!(first.data["archived"], most);
        let file = world.artifact(first.data["artifactPath"].as_str().unwrap());
        let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[7]["entry"], &lines[7]["data"]), (most, &json!("p0007"), &json!({"n": 7})));
        assert_eq!(archive(&mut world, &settings).await.unwrap(), first, "handled twice, done once");
        assert_eq!(world.store.entries("parts", None, 500).await.unwrap().len(), more);

        world.run = "the next".to_owned();
        assert_eq!(archive(&mut world, &settings).await.unwrap().data["archived"], more - 10);
        let left = world.store.entries("parts", None, 500).await.unwrap();
        assert_eq!((left.len(), &*left[0].entry), (10, "p1020"), "the newest are kept");
        world.run = "the last".to_owned();
        let none = archive(&mut world, &settings).await.unwrap();
        assert!(none.message.contains("no entry to archive"), "{}", none.message);
    }

    #[tokio::test]
    async fn settings_that_are_not_allowed_say_what_is() {
        let mut world = World::new().await;
        for settings in [
            json!({}),
            json!({"registry": "documents", "older_than": "1d"}),
            json!({"registry": "parts", "older_than": "soon"}),
            json!({"registry": "parts", "older_than": "1d", "keeps": 1}),
        ] {
            let failure = archive(&mut world, &settings).await.unwrap_err();
            assert_eq!((failure.class.clone(), failure.code), (Class::Permanent, "invalid_job"), "{settings}");
            assert!(failure.message.contains("old-parts") && failure.message.contains(ALLOWED), "{}", failure.message);
        }
    }
}
