//! What handlers' tests run in: a git repository, an SQLite store, a directory of artifacts, the built-in registry.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use object_store::local::LocalFileSystem;
use serde_json::json;
use tempfile::TempDir;

use crate::handlers::git_commit::*;
use crate::connectors::git::Repositories;
use crate::dispatch::{Asking, NewEvent, Outages, Place, Services};
use crate::event::{Offset, RecordBuilder};
use crate::notify::Notifier;
use crate::registry::documents::{Document, REGISTRY};
use crate::registry::entry_name;
use crate::schema::json::{JsonSchemas, SchemaRule, SchemaSource};
use crate::schema::payloads::WorkflowRequested;
use crate::schema::registry::{Client, Settings as RegistrySettings};
use crate::schema::{BuiltinRegistry, Codec};
use crate::store::{self, Fence, Store};
use crate::workflow::{Definition, Definitions};

const FENCED_TOPIC: &str = "coafi.git";

pub(crate) struct World {
    directory: TempDir,
    /// Another world's, where this one stands beside it.
    repository: PathBuf,
    /// Stops when it is dropped.
    _registry: BuiltinRegistry,
    pub(crate) services: Services,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    /// Which run over the topic its events are of.
    pub(crate) run: String,
    /// The branch that its commits are on, and that its documents are looked for on.
    pub(crate) branch: &'static str,
    /// Where its events stand in the topic.
    pub(crate) offset: i64,
}

/// As a configuration has it.
fn specifications() -> SchemaRule {
    let schema = json!({"type": "object", "required": ["title"]});
    SchemaRule { pattern: "specs/**".into(), file_type: None, schema: SchemaSource::Inline(schema) }
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        let world = Self::with(directory, repository).await;
        world.git(&["init", "-q", "-b", "main"]);
        world
    }

    /// The same repository with another database and another artifact store.
    pub(crate) async fn beside(other: &Self) -> Self {
        Self::with(tempfile::tempdir().unwrap(), other.repository.clone()).await
    }

    /// From now on events are handled as a member of this group.
    pub(crate) async fn join(&mut self, group: &str) {
        self.fence = self.store.claim(group, &[(FENCED_TOPIC.to_owned(), 0, 1)]).await.unwrap().remove(0);
    }

    async fn with(directory: TempDir, repository: PathBuf) -> Self {
        let url = format!("sqlite:{}/store.db", directory.path().display());
        let store: Arc<dyn Store> = store::open(&url, &store::Settings::default()).await.unwrap();
        let fence = store.claim("group", &[(FENCED_TOPIC.to_owned(), 0, 1)]).await.unwrap().remove(0);
        let artifacts = directory.path().join("artifacts");
        std::fs::create_dir(&artifacts).unwrap();
        let registry = BuiltinRegistry::start(&[]).await.unwrap();
        let codec = Codec::new(Client::new(RegistrySettings::new(registry.url())).unwrap(), true);
        let services = Services {
            codec,
            store: Arc::clone(&store),
            artifacts: Arc::new(LocalFileSystem::new_with_prefix(&artifacts).unwrap()),
            repositories: Arc::new(Repositories::default()),
            json_schemas: Arc::new(JsonSchemas::with_shipped(&[specifications()]).unwrap()),
            workflows: Arc::default(),
            endpoints: Arc::default(),
            registries: Arc::default(),
            notifier: Arc::new(Notifier::silent()),
            outages: Outages::default(),
        };
        Self { directory, repository, _registry: registry, services, store, fence, run: String::new(), branch: "main", offset: 0 }
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A U Thor", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false"])
            .args(arguments)
            .current_dir(&self.repository)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.write_bytes(name, text.as_bytes());
    }

    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) {
        self.write_at(&self.repository.join(name), bytes);
    }

    pub(crate) fn write_named(&self, name: &[u8], text: &str) {
        self.write_at(&self.repository.join(OsStr::from_bytes(name)), text.as_bytes());
    }

    fn write_at(&self, path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.repository.join(name)).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.repository.join(name)).unwrap();
    }

    /// The commit that it names is nowhere: a submodule's never is in this repository.
    pub(crate) fn submodule(&self, name: &str) {
        std::fs::create_dir(self.repository.join(name)).unwrap();
        self.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},{name}", "1".repeat(40))]);
    }

    /// Commits everything; its id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn url(&self) -> String {
        self.repository.display().to_string()
    }

    pub(crate) async fn handle(&self, sha: &str) -> Result<Success, Failure> {
        self.handle_with(sha, &[]).await
    }

    pub(crate) async fn handle_with(&self, sha: &str, headers: &[(&str, &str)]) -> Result<Success, Failure> {
        self.run(&GitCommitHandler, "git.commit", &self.payload(sha), headers, &self.fence).await
    }

    pub(crate) async fn handle_under(&self, sha: &str, fence: &Fence) -> Result<Success, Failure> {
        self.run(&GitCommitHandler, "git.commit", &self.payload(sha), &[], fence).await
    }

    pub(crate) async fn handle_data(&self, data: &[u8]) -> Result<Success, Failure> {
        self.run(&GitCommitHandler, "git.commit", data, &[], &self.fence).await
    }

    /// Has any handler handle an event with this JSON data.
    pub(crate) async fn handle_by(
        &self,
        handler: &dyn Handler,
        event_type: &str,
        data: &serde_json::Value,
    ) -> Result<Success, Failure> {
        self.run(handler, event_type, data.to_string().as_bytes(), &[], &self.fence).await
    }

    pub(crate) async fn handle_by_with(
        &self,
        handler: &dyn Handler,
        event_type: &str,
        data: &serde_json::Value,
        headers: &[(&str, &str)],
    ) -> Result<Success, Failure> {
        self.run(handler, event_type, data.to_string().as_bytes(), headers, &self.fence).await
    }

    fn payload(&self, sha: &str) -> Vec<u8> {
        let person = json!({"name": "A U Thor", "email": "a@example.org"});
        let payload = json!({
            "commitSha": sha, "repositoryUrl": self.url(), "branch": self.branch, "author": person, "committer": person,
            "message": "m", "parents": [], "committedAt": 0, "changedFiles": [],
        });
        payload.to_string().into_bytes()
    }

    async fn run(
        &self,
        handler: &dyn Handler,
        event_type: &str,
        data: &[u8],
        headers: &[(&str, &str)],
        fence: &Fence,
    ) -> Result<Success, Failure> {
        let mut builder = RecordBuilder::new(None, Some(data), 0);
        let id = format!("{}@{}", self.branch, xxhash_rust::xxh3::xxh3_64(data));
        let attributes = [
            ("ce_specversion", "1.0"),
            ("ce_id", id.as_str()),
            ("ce_source", "/repository"),
            ("ce_type", event_type),
            ("content-type", "application/json"),
        ];
        for (name, value) in attributes.iter().chain(headers) {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        let event = Event::parse(builder.build(FENCED_TOPIC.into(), 0, Offset(self.offset), None)).unwrap();
        let run = &self.run;
        let place = Place { topic: FENCED_TOPIC, partition: 0, offset: self.offset };
        let context = Context { services: &self.services, attempt: 1, handler: "tested", run, place, fence, asking: Asking::default() };
        handler.handle(&event, &context).await
    }

    /// The workflows that there are from now on, as files with these texts.
    pub(crate) fn define(&mut self, texts: &[&str]) {
        let parsed = texts.iter().map(|text| ("w.yaml".to_owned(), Definition::parse("w.yaml", text, None).unwrap()));
        self.services.workflows = Arc::new(Definitions::new(parsed.collect()).unwrap());
    }

    /// The channels that there are from now on.
    pub(crate) fn tell(&mut self, notifier: Notifier) {
        self.services.notifier = Arc::new(notifier);
    }

    /// The data of a derived event.
    pub(crate) async fn decode_json(&self, new: &NewEvent) -> serde_json::Value {
        let mut builder = RecordBuilder::new(None, Some(&new.data), 0);
        for (name, value) in [("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/s"), ("ce_type", &new.event_type)] {
            builder.header(name.as_bytes(), Some(value.as_bytes()));
        }
        let event = Event::parse(builder.build(FENCED_TOPIC.into(), 0, Offset(0), None)).unwrap();
        self.services.codec.decode_json(&event).await.unwrap()
    }

    pub(crate) async fn decode_request(&self, event: &NewEvent) -> WorkflowRequested {
        self.services.codec.decode_avro(&event.data).await.unwrap()
    }

    pub(crate) async fn document(&self, path: &str) -> Option<Document> {
        self.document_of(path.as_bytes()).await
    }

    pub(crate) async fn document_of(&self, path: &[u8]) -> Option<Document> {
        let entry = self.store.entry(REGISTRY, &entry_name(&self.url(), &[self.branch.as_bytes(), path])).await.unwrap();
        entry.map(|entry| serde_json::from_value(entry.data).unwrap())
    }

    pub(crate) async fn document_version(&self, path: &str) -> i64 {
        self.store.entry(REGISTRY, &entry_name(&self.url(), &[self.branch.as_bytes(), path.as_bytes()])).await.unwrap().unwrap().version
    }

    pub(crate) async fn documents(&self) -> Vec<Document> {
        let entries = self.store.entries(REGISTRY, None, 10_000).await.unwrap();
        entries.into_iter().map(|entry| serde_json::from_value(entry.data).unwrap()).collect()
    }

    pub(crate) fn artifact(&self, path: &str) -> String {
        std::fs::read_to_string(self.artifacts().join(path)).unwrap()
    }

    fn artifacts(&self) -> PathBuf {
        self.directory.path().join("artifacts")
    }

    pub(crate) fn block_artifacts(&self) {
        let documents = self.artifacts().join("documents");
        std::fs::rename(&documents, self.artifacts().join("away")).unwrap();
        std::fs::write(documents, "in the way").unwrap();
    }

    pub(crate) fn unblock_artifacts(&self) {
        let documents = self.artifacts().join("documents");
        std::fs::remove_file(&documents).unwrap();
        std::fs::rename(self.artifacts().join("away"), documents).unwrap();
    }
}
