//! Tags: created, moved, deleted.

use gix::ObjectId;

use super::batch::{Annotation, Batch, Change, TagTarget};
use super::commit::{self, MESSAGE_MAX_BYTES};
use super::session::Session;
use super::state::{Sha, TAG_PREFIX, TagState};
use super::{GitError, Handle};

impl Session {
    /// Adds what happened to tags until the batch is full.
    pub(super) fn tags(&mut self, handle: &Handle, batch: &mut Batch) -> Result<(), GitError> {
        let moved: Vec<(String, ObjectId)> = (self.snapshot.tags.iter())
            .filter(|(tag, object)| self.state.tags.get(*tag).is_none_or(|known| known.object.0 != **object))
            .map(|(tag, object)| (tag.clone(), *object))
            .collect();
        for (tag, object) in moved {
            if batch.is_full() {
                return Ok(());
            }
            let before = self.state.tags.insert(tag.clone(), TagState { object: Sha(object) });
            self.changed(format!("{TAG_PREFIX}{tag}"), batch);
            let after = Some(handle.tag_target(object)?);
            batch.push(Change::Tag { tag, before: before.map(|known| known.object.0), after });
        }
        let gone = self.state.tags.keys().filter(|tag| {
            // A pattern that was taken out of the configuration deletes no tag.
            self.settings.tags.matches(tag) && !self.snapshot.tags.contains_key(*tag)
        });
        for tag in gone.cloned().collect::<Vec<_>>() {
            if batch.is_full() {
                return Ok(());
            }
            let before = self.state.tags.remove(&tag).map(|known| known.object.0);
            self.changed(format!("{TAG_PREFIX}{tag}"), batch);
            batch.push(Change::Tag { tag, before, after: None });
        }
        Ok(())
    }
}

impl Handle {
    fn tag_target(&self, object: ObjectId) -> Result<TagTarget, GitError> {
        let found = self.repository.find_object(object).map_err(|error| self.unreadable(&error))?;
        if found.kind != gix::objs::Kind::Tag {
            return Ok(TagTarget { object, target: object, annotation: None });
        }
        let tag = found.clone().into_tag();
        let decoded = tag.decode().map_err(|error| self.unreadable(&error))?;
        let annotation = Annotation {
            tagger: decoded.tagger().ok().flatten().map(|tagger| commit::signature(Some(tagger))),
            message: commit::text(decoded.message, MESSAGE_MAX_BYTES),
        };
        let target = found.peel_tags_to_end().map_err(|error| self.unreadable(&error))?.id;
        Ok(TagTarget { object, target, annotation: Some(annotation) })
    }
}
