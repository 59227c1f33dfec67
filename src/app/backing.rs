//! What handlers reach the world through, opened as the settings say.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};

use tokio_util::sync::CancellationToken;

use super::Places;
use super::git::repositories_settings;
use super::misconfigured::Misconfigured;
use super::notifier::notifier;
use super::registries::registry_rules;
use super::topics::schemas;
use super::waiting::Waiting;
use super::workflows::workflows;
use crate::config::{Artifacts, Settings};
use crate::connectors::git::Repositories;
use crate::dispatch::{Outages, Services};
use crate::outgoing::Endpoints;
use crate::schema::json::{JsonSchemas, SchemaRule, SchemaSource};
use crate::schema::{Codec, registry};
use crate::store::{self, Requests, StoreError};

/// The services of one process, and the registry's client.
#[derive(Clone)]
pub struct Backing {
    pub services: Arc<Services>,
    pub registry: registry::Client,
    /// The same database as the services' store.
    pub requests: Arc<dyn Requests>,
}

impl Backing {
    /// Opens everything. The database is connected to and migrated; the schema registry is first asked when something is
    /// encoded or decoded.
    ///
    /// # Errors
    /// A directory that cannot be made, a database that does not answer, a JSON Schema that is none.
    pub async fn open(settings: &Settings, places: &Places) -> anyhow::Result<Self> {
        let registry = registry::Client::new(places.registry.clone())?;
        let database = store::Settings { max_connections: settings.database.max_connections, ..Default::default() };
        let repositories = repositories_settings(&settings.git, &settings.outgoing.allow)?;
        let requests = store::open(&places.database, &database).await?;
        let endpoints = Endpoints::new(&settings.endpoints, &settings.outgoing);
        let services = Services {
            codec: Codec::of(registry.clone(), schemas(settings)?, settings.schema_registry.auto_register),
            store: Arc::<dyn Requests>::clone(&requests),
            artifacts: artifacts(&places.artifacts)?,
            repositories: Arc::new(Repositories::new(repositories)),
            json_schemas: Arc::new(json_schemas(settings).map_err(Misconfigured::by("json_schemas"))?),
            workflows: Arc::new(workflows(settings)?),
            endpoints: Arc::new(match endpoints.map_err(Misconfigured::by("endpoints"))? {
                called if places.reaches_others => called,
                others => others.silenced(),
            }),
            registries: Arc::new(registry_rules(settings).map_err(Misconfigured::by("registries"))?),
            notifier: Arc::new(match notifier(settings).map_err(Misconfigured::by("notifications"))? {
                told if places.reaches_others => told,
                others => others.silenced(),
            }),
            outages: Outages::default(),
        };
        Ok(Self { services: Arc::new(services), registry, requests })
    }

    /// As [`Backing::open`], and waits for a database that does not answer. `None` if it was stopped before that.
    ///
    /// # Errors
    /// As [`Backing::open`], the database's silence excepted.
    pub async fn open_when_there(
        settings: &Settings,
        places: &Places,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let mut waiting = Waiting::default();
        loop {
            let error = match Self::open(settings, places).await {
                Ok(backing) => return Ok(Some(backing)),
                Err(error) => error,
            };
            let Some(reason @ StoreError::Unavailable { .. }) = error.downcast_ref() else { return Err(error) };
            if !waiting.for_another_attempt(reason.to_string(), stop).await {
                return Ok(None);
            }
        }
    }
}

/// The configured JSON Schemas before those that the program ships.
///
/// # Errors
/// A file that cannot be read or is no JSON Schema.
pub fn json_schemas(settings: &Settings) -> anyhow::Result<JsonSchemas> {
    let rule = |rule: &crate::config::JsonSchemaRule| SchemaRule {
        pattern: rule.paths.clone(),
        file_type: None,
        schema: SchemaSource::Path(rule.schema.clone()),
    };
    let rules: Vec<SchemaRule> = settings.json_schemas.iter().map(rule).collect();
    Ok(JsonSchemas::with_shipped(&rules)?)
}

fn artifacts(place: &Artifacts) -> anyhow::Result<Arc<dyn ObjectStore>> {
    match place {
        Artifacts::Directory(directory) => local(directory),
        Artifacts::S3 { bucket, prefix } => {
            let s3 = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(tried_again()).build()?;
            if prefix.is_empty() { Ok(Arc::new(s3)) } else { Ok(Arc::new(PrefixStore::new(s3, prefix.as_str()))) }
        }
    }
}

/// For a connection that broke or a server that was busy. That the store is away is said soon: the circuit asks when it is back,
/// and by default an attempt would be told so after a minute of tries.
fn tried_again() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}

fn local(directory: &Path) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let open = || {
        std::fs::create_dir_all(directory)?;
        Ok::<_, anyhow::Error>(LocalFileSystem::new_with_prefix(directory)?)
    };
    Ok(Arc::new(open().with_context(|| format!("artifact directory {} cannot be used", directory.display()))?))
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backing").field("registry", &self.registry.url()).finish_non_exhaustive()
    }
}
