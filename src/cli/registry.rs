//! `coafi registry`.

mod dependants;
mod history;
mod list;
mod search;
mod set;
mod show;

use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::answer::table;
use super::dlq::actor;
use super::{Answer, Context, Exit, Failure};
use crate::connectors::publish_event::{EventToSend, Sent, prepare, send};
use crate::http::api::{API_TOPIC, KEY_BYTES_MAX};
use crate::runtime::unix_ms;
use crate::schema::Payload as _;
use crate::schema::payloads::ApiRequest;
use crate::store::{self, EntriesPage, EntryFilter, Requests, StoredEntry};

/// Of what is published from here: as the API's requests of the same endpoint.
const SOURCE: &str = "/coafi/cli/registry/update";
/// Of one question to the database.
const PAGE: u32 = 500;
/// Of a registry's or an entry's name that a request may name.
const NAME_BYTES_MAX: usize = 256;

/// Registries: entries with their versions, who wrote them, and who is told of changes.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  coafi registry list
  coafi registry list parts --prefix wing-
  coafi registry show parts wing-7
  coafi registry history parts wing-7
  coafi registry search parts 'approved wing'
  coafi registry set parts wing-7 '{\"status\": \"approved\"}' --expected-version 3
  coafi registry dependants add parts team-wings --entries 'wing-*'

What changes an entry is a request like those of the HTTP API, which a consumer carries out; see docs/registries.md.")]
pub(super) enum Registry {
    List(list::List),
    Show(show::Show),
    History(history::History),
    Search(search::Search),
    Set(set::Set),
    /// Who is told when entries change.
    #[command(subcommand)]
    Dependants(dependants::Dependants),
}

impl Registry {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::History(command) => command.run(context).await,
            Self::Search(command) => command.run(context).await,
            Self::Set(command) => command.run(context).await,
            Self::Dependants(command) => command.run(context).await,
        }
    }
}

async fn open(context: &Context) -> Result<Arc<dyn Requests>, Failure> {
    let opened = store::open(&context.places().database, &store::Settings::default()).await;
    Ok(opened.map_err(anyhow::Error::new)?)
}

/// At most `limit` entries, page after page, and whether there are more.
async fn entries(
    store: &dyn Requests,
    registry: &str,
    filter: &EntryFilter,
    limit: u32,
) -> Result<(Vec<StoredEntry>, bool), Failure> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let left = limit - u32::try_from(found.len()).unwrap_or(limit).min(limit);
        let page = store.find_entries(registry, filter, after.as_deref(), left.min(PAGE)).await;
        let EntriesPage { entries, next } = page.map_err(anyhow::Error::new)?;
        found.extend(entries);
        match next {
            Some(_) if found.len() >= limit as usize => return Ok((found, true)),
            Some(next) => after = Some(next),
            None => return Ok((found, false)),
        }
    }
}

/// Publishes a request to write an entry; `null` deletes it. `condition`: further members of the request.
async fn publish(
    context: &Context,
    registry: &str,
    entry: &str,
    data: &Value,
    condition: Option<(&str, Value)>,
) -> Result<Sent, Failure> {
    for (what, name) in [("the registry's name", registry), ("the entry's name", entry)] {
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let allowed = format!("at most {NAME_BYTES_MAX} bytes of printable text");
            return Err(Failure::usage(format!("{what} {name:?} is not allowed; allowed: {allowed}")));
        }
    }
    let mut body = json!({"registryId": registry, "entryId": entry, "data": data});
    if let Some((member, value)) = condition {
        body[member] = value;
    }
    let id = uuid::Uuid::now_v7().to_string();
    let request = ApiRequest {
        endpoint: "registry/update".to_owned(),
        method: "POST".to_owned(),
        request_id: id.clone(),
        body: body.to_string(),
        principal: format!("cli:{}", actor(&super::dlq::Acting::default()).by),
        received_at: unix_ms(),
    };
    let event = EventToSend {
        event_type: ApiRequest::EVENT_TYPE.to_owned(),
        data: serde_json::to_value(&request).map_err(|error| Failure::failed("the event is no JSON").because(error))?,
        id: Some(id),
        source: Some(SOURCE.to_owned()),
        key: Some(key(registry, entry)),
        topic: API_TOPIC.to_owned(),
        base: std::path::PathBuf::new(),
    };
    let record = prepare(&context.codec()?, event, unix_ms()).await?;
    Ok(send(&context.places().client_config(), &record).await?)
}

/// As the API's, so that all changes of an entry are in one order.
fn key(registry: &str, entry: &str) -> String {
    let mut key = format!("{registry}/{entry}");
    key.truncate(key.floor_char_boundary(KEY_BYTES_MAX));
    key
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

fn as_json(stored: &StoredEntry) -> Value {
    json!({
        "registry": stored.entry.registry,
        "entry": stored.entry.entry,
        "version": stored.entry.version,
        "data": stored.entry.data,
        "utids": stored.entry.utids,
        "updatedBy": stored.entry.updated_by,
        "principal": stored.principal,
        "updatedAt": time(stored.updated_ms),
    })
}

/// Entries as an answer; there are more if `more`.
fn listed(registry: &str, found: &[StoredEntry], more: bool) -> Answer {
    let row = |stored: &StoredEntry| {
        let by = stored.principal.as_ref().unwrap_or(&stored.entry.updated_by).clone();
        [stored.entry.entry.clone(), stored.entry.version.to_string(), time(stored.updated_ms), by]
    };
    let last = match (found.len(), more) {
        (0, _) => format!("registry {registry:?} has no such entry"),
        (count, false) => format!("{count} listed"),
        (count, true) => format!("{count} listed; there are more, see --limit"),
    };
    let text = table(["entry", "version", "changed", "by"], found.iter().map(row).collect(), &last);
    let json = json!({"registry": registry, "entries": found.iter().map(as_json).collect::<Vec<_>>(), "more": more});
    Answer { json, text, yes: true }
}
