//! `POST /registry/update`: writes one entry and asks for `RegistryUpdateNotificationWorkflow`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{SOURCE, check_name};
use crate::dispatch::workflow_request::{self, WorkflowRequest};
use crate::dispatch::{Context, Failure, Reply, Success, once};
use crate::event::Event;
use crate::registry::KEPT_BY_HANDLERS;
use crate::store::EntryChange;

const WORKFLOW: &str = "RegistryUpdateNotificationWorkflow";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    #[serde(default)]
    registry_id: String,
    #[serde(default)]
    entry_id: String,
    /// `null` deletes; it must be there all the same.
    #[serde(deserialize_with = "present")]
    data: Value,
    #[serde(default)]
    expected_version: Option<i64>,
}

/// Serde takes a missing `Value` for null, which here would delete.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Value::deserialize(deserializer)
}

pub(super) async fn handle(event: &Event, context: &Context<'_>, update: Update) -> Result<Success, Failure> {
    update.check()?;
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let stored = context.services.store.entry(&update.registry_id, &update.entry_id).await?;
    let version = stored.map_or(0, |entry| entry.version);
    if let Some(expected) = update.expected_version.filter(|expected| *expected != version) {
        let message = format!("the entry is at version {version}, expected {expected} (0: it does not exist)");
        return Err(Failure::invalid("version_conflict", message).with_status(409));
    }
    let result = json!({"change": update.change(version), "previousVersion": version});
    let workflow_id = workflow_request::id(WORKFLOW, event, context);
    let (registry, entry) = (update.registry_id.as_str(), update.entry_id.as_str());
    let requested = WorkflowRequest {
        workflow: WORKFLOW,
        workflow_id: &workflow_id,
        input: json!({"registryId": registry, "entryId": entry, "updateResult": result}),
        utids: event.utids().map(str::to_owned).collect(),
        source: SOURCE,
        subject: Some(format!("{registry}/{entry}")),
        key: format!("{registry}/{entry}"),
    };
    let answer = json!({"registryId": registry, "entryId": entry, "updateResult": result, "workflowId": workflow_id});
    let success = Success {
        message: format!("{registry}/{entry} is {}", update.change(version)),
        emit: vec![workflow_request::event(context, requested).await?],
        workflow_id: Some(workflow_id),
        reply: Some(Reply { status: 200, body: answer }),
        ..Success::default()
    };
    // What was read above must still hold when it is written; else the attempt is made again.
    let change = EntryChange {
        registry: update.registry_id,
        entry: update.entry_id,
        data: Some(update.data).filter(|data| !data.is_null()),
        utids: once::utids(event),
        expected_version: Some(version),
        position: None,
    };
    once::commit(event, context, vec![change], success).await
}

impl Update {
    fn check(&self) -> Result<(), Failure> {
        check_name("registryId", &self.registry_id)?;
        check_name("entryId", &self.entry_id)?;
        if !matches!(self.data, Value::Object(_) | Value::Null) {
            return Err(Failure::invalid("invalid_body", "data is not allowed; allowed: an object, or null to delete"));
        }
        if KEPT_BY_HANDLERS.contains(&self.registry_id.as_str()) {
            let message = format!("registry {:?} is kept by a handler, which alone writes to it", self.registry_id);
            return Err(Failure::invalid("registry_not_writable", message).with_status(409));
        }
        Ok(())
    }

    fn change(&self, version: i64) -> &'static str {
        match (self.data.is_null(), version) {
            (true, 0) => "absent",
            (true, _) => "deleted",
            (false, 0) => "created",
            (false, _) => "updated",
        }
    }
}
