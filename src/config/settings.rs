//! The root of the configuration.

use std::path::PathBuf;

use super::section::Section;
use super::{
    Api, Artifacts, Bitt, Database, Engine, Federated, Git, Http, HttpEndpoint, JsonSchemaRule, Kafka, Log,
    Notifications, Outgoing, Registry, SchemaRegistry, Sources, Workers, endpoints, load, redaction, registries,
    schedules,
};
use crate::dispatch::HeaderProfile;
use crate::dispatch::redaction::Redaction;
use crate::schedule::Schedule;

/// Every setting, valid. `docs/configuration.md` and `coafi.yaml` say what each is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub kafka: Kafka,
    pub engine: Engine,
    /// What retries and dead letters say to tools of others.
    pub dead_letter_headers: HeaderProfile,
    pub workers: Workers,
    pub schema_registry: SchemaRegistry,
    pub database: Database,
    pub artifacts: Artifacts,
    pub git: Git,
    /// What `coafi connect schedule` fires.
    pub schedules: Vec<Schedule>,
    /// What `coafi connect bitt` watches for.
    pub bitt: Bitt,
    /// Other domains.
    pub federated: Federated,
    /// Handler routes, YAML.
    pub routes_file: PathBuf,
    /// Schemas of the deployment's own event types, one `.avsc` file each; those of COAFI's are built in.
    pub avro_dir: Option<PathBuf>,
    /// Topic declarations, one YAML file each.
    pub topics_dir: PathBuf,
    /// Definitions of workflows, one YAML file each.
    pub workflows_dir: PathBuf,
    /// JSON Schemas for file contents: the first rule whose pattern matches a path applies.
    pub json_schemas: Vec<JsonSchemaRule>,
    /// What holds of single registries; of others nothing.
    pub registries: Vec<Registry>,
    pub http: Http,
    pub api: Api,
    pub notifications: Notifications,
    pub outgoing: Outgoing,
    /// What routes may name as `http:NAME`.
    pub endpoints: Vec<HttpEndpoint>,
    /// OpenTelemetry's `service.name`, unless `OTEL_SERVICE_NAME` says otherwise.
    pub service_name: String,
    pub log: Log,
    /// What of events' data is told to nobody but handlers.
    pub redaction: Redaction,
}

impl Settings {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let kafka = root.section("kafka", Kafka::read);
        let engine = root.section("engine", |s| Engine::read(s, &kafka));
        let settings = Self {
            kafka,
            engine,
            dead_letter_headers: root.section("dead_letters", |s| s.choice("headers", &HeaderProfile::ALL)),
            workers: root.section("workers", Workers::read),
            schema_registry: root.section("schema_registry", SchemaRegistry::read),
            database: root.section("database", Database::read),
            artifacts: root.section("artifacts", Artifacts::read),
            git: root.section("git", Git::read),
            schedules: schedules::read(root),
            bitt: root.section("bitt", Bitt::read),
            federated: root.section("federated", Federated::read),
            routes_file: root.path("routes_file", "handler_routes.yaml"),
            avro_dir: root.optional_text("avro_dir").map(PathBuf::from),
            topics_dir: root.path("topics_dir", "topics"),
            workflows_dir: root.path("workflows_dir", "workflows"),
            json_schemas: root.sections("json_schemas", "schema", JsonSchemaRule::read),
            registries: registries::read(root),
            http: root.section("http", Http::read),
            api: root.section("api", Api::read),
            notifications: root.section("notifications", Notifications::read),
            outgoing: root.section("outgoing", Outgoing::read),
            endpoints: endpoints::read(root),
            service_name: root.section("telemetry", |s| s.text("service_name", "coafi")),
            log: root.section("log", Log::read),
            redaction: redaction::read(root),
        };
        settings.check(root);
        settings
    }

    /// What makes no sense together.
    fn check(&self, root: &mut Section<'_>) {
        registries::check(root, &self.registries, &self.notifications.channels);
        let Federated { max_lifetime, leeway, domains, .. } = &self.federated;
        if !domains.is_empty() && self.api.requests_retention <= *max_lifetime + 2 * *leeway {
            let message = "must be longer than federated.max_lifetime and twice federated.leeway, or an envelope could be sent again";
            root.reject("api.requests_retention", message);
        }
    }

    /// The engine's bounds and rhythm.
    #[must_use]
    pub fn engine(&self) -> crate::engine::Settings {
        self.engine.with_commit(&self.kafka)
    }
}

impl Default for Settings {
    fn default() -> Self {
        load(&Sources::default()).expect("the defaults are valid, which a test holds").settings
    }
}
