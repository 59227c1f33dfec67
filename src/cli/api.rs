//! `coafi api`.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::consume::flush;
use super::serving::{Database, serve_api_pages};
use super::{Context, Exit, Failure};
use crate::app;
use crate::config::{PERMISSION_ALLOWED, is_permission};
use crate::connectors::Open;
use crate::http::Server;
use crate::http::api::NewKey;
use crate::runtime::{Shutdown, Tasks, unix_ms};
use crate::schema::registry;

/// How far back outcomes are read at the start, to be told at once from then on; older ones are looked for when asked for.
const RESULTS_READ_BACK: Duration = Duration::from_secs(900);

/// Serve the HTTP API: requests become events on coafi.api.
///
/// Listens on api.listen, and serves /health, /ready and /metrics on http.listen. Answers 202 once every in-sync replica has
/// the event. What services of others sign and post to /webhooks/{name} is taken as api.webhooks says, and what other domains
/// push to /federated/{domain} as federated says. As many as wanted may run. Ends on SIGTERM or SIGINT.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  coafi api key ci --permission 'api:registry/update:POST'
  coafi api
  curl -H \"X-API-Key: $KEY\" --json '{\"registryId\":\"parts\",\"entryId\":\"wing-7\",\"data\":{}}' \\
    http://localhost:8090/registry/update

Exit codes: 0 stopped, 1 it failed for good, or its port is taken, 2 the configuration is wrong, or
nobody could use it. What is away is waited for.")]
pub(super) struct Api {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an API key: prints it once, with what to write under api.keys.
    #[command(after_help = "Examples:
  coafi api key ci --permission 'api:registry/update:POST'
  coafi api key ops --permission 'api:*' --output json

Exit codes: 0 made, 2 the command line or the configuration is wrong.")]
    Key(Key),
    /// Write the OpenAPI 3.1 document of the configured endpoints to stdout, as /openapi.json serves it.
    #[command(after_help = "Examples:
  coafi api openapi > openapi.json

Exit codes: 0 written, 2 the configuration is wrong.")]
    Openapi,
}

#[derive(Debug, Args)]
struct Key {
    /// Whose key it is.
    #[arg(value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    principal: String,
    /// What it may do, e.g. api:registry/update:POST; a * at the end is any rest.
    #[arg(long = "permission", value_name = "PERMISSION", value_parser = permission)]
    permissions: Vec<String>,
}

#[derive(Serialize)]
struct Made<'a> {
    principal: &'a str,
    key: &'a str,
    sha256: &'a str,
    permissions: &'a [String],
}

impl Api {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.verb {
            Some(Verb::Key(key)) => key.run(context),
            Some(Verb::Openapi) => {
                let document = app::api_document(&context.settings().api)?;
                context.output().line(&serde_json::to_string_pretty(&document).expect("JSON is text"))?;
                Ok(Exit::Ok)
            }
            None => serve(context).await,
        }
    }
}

impl Key {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let made = NewKey::generate();
        let (principal, permissions) = (self.principal.as_str(), self.permissions.as_slice());
        let shown = Made { principal, key: &made.key, sha256: &made.sha256, permissions };
        context.output().show(&shown, |made| {
            let permissions = serde_json::to_string(made.permissions).unwrap_or_default();
            let principal = serde_json::to_string(made.principal).unwrap_or_default();
            format!(
                "key: {}\nIt is not kept anywhere. Under api.keys of coafi.yaml:\n  - principal: {principal}\n    \
                 sha256: {}\n    permissions: {permissions}",
                made.key, made.sha256
            )
        })?;
        Ok(Exit::Ok)
    }
}

fn permission(text: &str) -> Result<String, String> {
    let allowed = || format!("allowed: {PERMISSION_ALLOWED}");
    is_permission(text).then(|| text.to_owned()).ok_or_else(allowed)
}

async fn serve(context: &Context) -> Result<Exit, Failure> {
    let settings = context.settings();
    if !settings.api.knows_anybody() && !settings.federated.takes_pushes() {
        let next = "make a key with `coafi api key NAME`, or set api.jwt, api.webhooks or federated; see docs/api.md";
        let message = "nobody could use the API: api.keys, api.jwt, api.webhooks and federated are empty";
        return Err(Failure::usage(message).next(next));
    }
    let telemetry = context.start_telemetry()?;
    let shutdown = Shutdown::install().map_err(|error| Failure::failed(error.to_string()).because(error))?;
    let mut tasks = Tasks::new(shutdown.token());
    let registry = registry::Client::new(context.places().registry).map_err(anyhow::Error::new)?;
    let database = Database::default();
    serve_api_pages(&mut tasks, &settings.http, registry, &database, telemetry.metrics()).await?;
    // A taken port ends the start; what does not answer is waited for.
    let server = Server::bind("api.listen", settings.api.listen).await?;
    let running = async {
        let stop = tasks.stop();
        if let Some(requests) = app::requests(settings, &context.places(), &stop).await? {
            let store = database.get_or_init(|| Arc::clone(&requests));
            let pushers = (app::webhooks(settings)?, app::domains(settings));
            let (places, store, metrics) = (context.places(), Arc::clone(store), Some(telemetry.metrics()));
            let codec = context.codec()?;
            let rules = Arc::new(app::registry_rules(settings)?);
            let api = app::api(&settings.api, &places, codec, store, Arc::new(Open), pushers, rules, metrics)?;
            tracing::info!(address = %server.address(), "serving the API");
            let since = unix_ms() - i64::try_from(RESULTS_READ_BACK.as_millis()).unwrap_or_default();
            app::spawn_api(&mut tasks, &settings.api, server, api, requests, Some(since));
        } else {
            stop.cancel();
        }
        let ended = tasks.join().await;
        ended.map_err(|error| Failure::failed(error.to_string()).because(error))
    };
    let ended = shutdown.watch(running).await;
    flush(context, telemetry).await;
    ended?;
    Ok(Exit::Ok)
}
