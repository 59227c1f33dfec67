//! Discovered facts as events: the one place where git's data becomes payloads and records.

use std::sync::Arc;

use super::batch::{Change, TagTarget};
use super::changes::{ChangeStatus, EntryType};
use super::commit::{Commit, Signature};
use super::identity::Identity;
use super::{RepositoryId, changes};
use crate::connectors::{NewSourceEvent, traceparent_of};
use crate::dispatch::Failure;
use crate::event::Outgoing;
use crate::schema::payloads::{ChangedFile, FileKind, FileStatus, GitCommit, GitPush, GitTag, Person, TagAction};
use crate::schema::{AVRO_CONTENT_TYPE, Codec, Encoder, Payload};

/// The topic of git events.
pub const GIT_TOPIC: &str = "coafi.git";

/// Encodes events of git repositories for one topic.
#[derive(Clone, Debug)]
pub(super) struct Encoders {
    topic: Arc<str>,
    commit: Encoder<GitCommit>,
    push: Encoder<GitPush>,
    tag: Encoder<GitTag>,
}

impl Encoders {
    /// # Errors
    /// Systemic: the schema registry does not answer or lacks the schemas.
    pub(super) async fn new(codec: &Codec, topic: &Arc<str>) -> Result<Self, Failure> {
        Ok(Self {
            topic: Arc::clone(topic),
            commit: codec.encoder(topic).await?,
            push: codec.encoder(topic).await?,
            tag: codec.encoder(topic).await?,
        })
    }

    /// The record of a change, with a trace of its own.
    ///
    /// # Errors
    /// Permanent: the payload does not fit its schema.
    pub(super) fn record(&self, repository: &RepositoryId, change: Change) -> Result<Outgoing, Failure> {
        let span = tracing::info_span!(parent: None, "publish", repository = %repository,
            messaging.system = "kafka", messaging.operation.name = "publish", messaging.destination.name = &*self.topic);
        let traceparent = traceparent_of(&span);
        let event = match change {
            Change::Commit { branch, commit, files_truncated } => {
                let payload = commit_payload(repository, branch, commit, files_truncated);
                let identity = Identity::of_commit(repository, &payload.branch, &payload.commit_sha);
                let time = payload.committed_at;
                self.event::<GitCommit>(identity, Some(time), payload.utids.clone(), |into| {
                    self.commit.encode(&payload, into)
                })?
            }
            Change::Push { branch, before, after, forced, commits, at_ms } => {
                let payload = GitPush {
                    repository_url: repository.to_string(),
                    branch,
                    before: before.map(|sha| sha.to_string()),
                    after: after.map(|sha| sha.to_string()),
                    forced,
                    commit_count: i32::try_from(commits).unwrap_or(i32::MAX),
                    observed_at: at_ms,
                    utids: Vec::new(),
                };
                let (before, after) = (payload.before.as_deref(), payload.after.as_deref());
                let identity = Identity::of_push(repository, &payload.branch, before, after);
                self.event::<GitPush>(identity, Some(at_ms), Vec::new(), |into| self.push.encode(&payload, into))?
            }
            Change::Tag { tag, before, after } => {
                let object = after.as_ref().map(|after| after.object.to_string());
                let before = before.map(|sha| sha.to_string());
                let identity = Identity::of_tag(repository, &tag, before.as_deref(), object.as_deref());
                let payload = tag_payload(repository, tag, before, after);
                self.event::<GitTag>(identity, payload.tagged_at, Vec::new(), |into| self.tag.encode(&payload, into))?
            }
        };
        Ok(event.into_record(&traceparent))
    }

    fn event<T: Payload>(
        &self,
        identity: Identity,
        time_ms: Option<i64>,
        utids: Vec<String>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<NewSourceEvent, Failure> {
        let mut data = Vec::with_capacity(1_024);
        encode(&mut data)?;
        Ok(NewSourceEvent {
            topic: Arc::clone(&self.topic),
            event_type: T::EVENT_TYPE.to_owned(),
            id: identity.id,
            source: identity.source,
            subject: Some(identity.subject),
            time_ms,
            key: identity.key,
            correlation_id: None,
            utids,
            reply_to: None,
            tenant: None,
            content_type: AVRO_CONTENT_TYPE,
            data: data.into(),
        })
    }
}

fn commit_payload(repository: &RepositoryId, branch: String, commit: Commit, truncated: bool) -> GitCommit {
    GitCommit {
        commit_sha: commit.sha.to_string(),
        repository_url: repository.to_string(),
        branch,
        committed_at: commit.committer.time_ms,
        author: person(commit.author),
        committer: person(commit.committer),
        utids: utids(&commit.message),
        message: commit.message,
        parents: commit.parents.iter().map(ToString::to_string).collect(),
        changed_files: commit.changed_files.into_iter().map(changed_file).collect(),
        changed_files_truncated: truncated,
    }
}

fn tag_payload(repository: &RepositoryId, tag: String, before: Option<String>, after: Option<TagTarget>) -> GitTag {
    let action = match (&before, &after) {
        (_, None) => TagAction::Deleted,
        (None, Some(_)) => TagAction::Created,
        (Some(_), Some(_)) => TagAction::Moved,
    };
    let annotation = after.as_ref().and_then(|after| after.annotation.clone());
    let tagger = annotation.as_ref().and_then(|annotation| annotation.tagger.clone());
    GitTag {
        repository_url: repository.to_string(),
        tag,
        action,
        commit_sha: after.as_ref().map(|after| after.target.to_string()),
        previous_sha: before,
        tag_object_sha: after.as_ref().filter(|after| after.annotation.is_some()).map(|after| after.object.to_string()),
        tagged_at: tagger.as_ref().map(|tagger| tagger.time_ms),
        tagger: tagger.map(person),
        message: annotation.map(|annotation| annotation.message),
        utids: Vec::new(),
    }
}

fn person(signature: Signature) -> Person {
    Person { name: signature.name, email: signature.email }
}

fn changed_file(file: changes::ChangedFile) -> ChangedFile {
    let (path, path_bytes) = ChangedFile::split_path(&file.path);
    let old = file.old_path.as_deref().map(ChangedFile::split_path);
    let (old_path, old_path_bytes) = old.map_or((None, None), |(path, bytes)| (Some(path), bytes));
    let status = match file.status {
        ChangeStatus::Added => FileStatus::Added,
        ChangeStatus::Modified => FileStatus::Modified,
        ChangeStatus::Deleted => FileStatus::Deleted,
        ChangeStatus::Renamed => FileStatus::Renamed,
        ChangeStatus::TypeChanged => FileStatus::TypeChange,
    };
    let kind = match file.kind {
        EntryType::File => FileKind::File,
        EntryType::Executable => FileKind::Executable,
        EntryType::Symlink => FileKind::Symlink,
        EntryType::Submodule => FileKind::Submodule,
    };
    ChangedFile { path, path_bytes, status, old_path, old_path_bytes, kind }
}

/// At most this many UTidS are taken from a message.
const UTIDS_MAX: usize = 100;

/// What the commit's trailers name: lines `UTidS: <id>[, <id>…]` in the message's last paragraph.
fn utids(message: &str) -> Vec<String> {
    let last = message.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let values = last.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("utids").then_some(value)
    });
    let ids = values.flat_map(|value| value.split(',')).map(str::trim).filter(|id| !id.is_empty());
    ids.take(UTIDS_MAX).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gix::ObjectId;
    use gix::bstr::BStr;

    use super::super::batch::{Batch, FILES_LISTED_MAX, Limits};
    use super::super::commit::{MESSAGE_MAX_BYTES, NAME_MAX_BYTES, PARENTS_MAX, text};
    use super::super::{Address, ChangedFile};
    use super::*;
    use crate::schema::BuiltinRegistry;
    use crate::schema::registry::{Client, Settings};

    /// What librdkafka's producer takes at most (`message.max.bytes`); one that is larger would stop its source for ever.
    const RECORD_MAX_BYTES: usize = 1_000_000;

    #[tokio::test]
    async fn the_largest_commit_fits_a_record() {
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let codec = Codec::new(Client::new(Settings::new(registry.url())).unwrap(), true);
        let encoders = Encoders::new(&codec, &GIT_TOPIC.into()).await.unwrap();
        let repository = Address::parse(&format!("/{}", "r".repeat(4_000)), Path::new("/")).unwrap().id;
        // Bytes that are no UTF-8 grow when they are made readable.
        let odd = |bytes: usize| vec![0xff; bytes];
        let ids = [&b"utids: "[..], &[odd(600), b",".to_vec()].concat().repeat(200)].concat();
        let name = text(BStr::new(&odd(2 * NAME_MAX_BYTES)), NAME_MAX_BYTES);
        let signature = Signature { name: name.clone(), email: name, time_ms: i64::MAX };
        let changed = |n: usize| ChangedFile {
            path: [odd(200), n.to_be_bytes().to_vec()].concat(),
            status: ChangeStatus::Renamed,
            kind: EntryType::File,
            old_path: Some(odd(200)),
        };
        let commit = Commit {
            sha: ObjectId::null(gix::hash::Kind::Sha1),
            parents: vec![ObjectId::null(gix::hash::Kind::Sha1); PARENTS_MAX],
            author: signature.clone(),
            committer: signature,
            message: text(BStr::new(&ids), MESSAGE_MAX_BYTES),
            changed_files: (0..2 * FILES_LISTED_MAX).map(changed).collect(),
        };
        let mut batch = Batch::new(Limits::default());
        batch.commit(&"b".repeat(1_000), commit);
        let record = encoders.record(&repository, batch.changes.remove(0)).unwrap();
        let bytes = record.value.as_ref().unwrap().len() + record.headers.size() + record.key.as_ref().unwrap().len();
        assert!(bytes < RECORD_MAX_BYTES, "{bytes}");
        registry.stop().await.unwrap();
    }

    #[test]
    fn trailers_name_utids() {
        assert_eq!(
            utids("Subject\n\nUTidS: not here\n\nutids: GAIA-1, GAIA-2\nSigned-off-by: x"),
            ["GAIA-1", "GAIA-2"]
        );
        assert!(utids("Subject").is_empty());
    }
}
