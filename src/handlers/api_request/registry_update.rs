//! `POST /registry/update`: writes one entry and asks for `RegistryUpdateNotificationWorkflow`. `PUT` and `DELETE` of an
//! entry are the same request with a precondition of HTTP's.
//!
//! | what does not hold | status |
//! |---|---|
//! | `expectedVersion` | 409 |
//! | `ifMatch`, `ifNoneMatch` | 412 |
//! | the registry's schema | 400 |
//! | the registry wants one of them, and there is none | 428 |

mod precondition;

use serde::Deserialize;
use serde_json::{Value, json};

use self::precondition::IfMatch;
use super::check_name;
use crate::dispatch::registry_changes::{self, RegistryChange, WORKFLOW};
use crate::dispatch::{Context, Failure, Reply, Success, once, workflow_request};
use crate::event::Event;
use crate::numbers;
use crate::registry::dependants::Dependants;
use crate::registry::{KEPT_BY_HANDLERS, Rules};
use crate::store::EntryChange;

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
    #[serde(default, deserialize_with = "numbers::optional")]
    expected_version: Option<i64>,
    #[serde(default)]
    if_match: Option<IfMatch>,
    /// That it must not exist.
    #[serde(default)]
    if_none_match: Option<precondition::Any>,
}

/// Serde takes a missing `Value` for null, which here would delete.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Value::deserialize(deserializer)
}

pub(super) async fn handle(
    event: &Event,
    context: &Context<'_>,
    principal: &str,
    update: Update,
) -> Result<Success, Failure> {
    update.check()?;
    if let Some(success) = once::earlier(event, context).await? {
        return Ok(success);
    }
    let services = context.services;
    update.check_by(&services.registries)?;
    let stood = services.store.standing(&update.registry_id, &update.entry_id).await?;
    let version = stood.visible_version();
    update.check_version(version)?;
    let written = stood.version + 1;
    let result = json!({"change": update.change(version), "previousVersion": version, "version": written});
    let workflow_id = workflow_request::id(WORKFLOW, event, context);
    let (registry, entry) = (update.registry_id.as_str(), update.entry_id.as_str());
    // Asked for whether anybody depends on the entry or not: whoever asks is given the workflow's id.
    let told = Dependants::of(&*services.store, &services.registries, registry).await?.told(entry);
    let told = RegistryChange { registry, entry, result: result.clone(), told };
    let answer = json!({"registryId": registry, "entryId": entry, "updateResult": result, "workflowId": workflow_id});
    let success = Success {
        message: format!("{registry}/{entry} is {}", update.change(version)),
        emit: vec![registry_changes::request(event, context, &workflow_id, told).await?],
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
        principal: Some(principal.to_owned()).filter(|name| !name.is_empty()),
        expected_version: None,
        follows: Some(stood.version),
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

    /// What holds of the registry.
    fn check_by(&self, rules: &Rules) -> Result<(), Failure> {
        let registry = &self.registry_id;
        let is_conditional =
            self.expected_version.is_some() || self.if_match.is_some() || self.if_none_match.is_some();
        if rules.requires_match(registry) && !is_conditional {
            let message = format!("who writes to registry {registry:?} has to say which version is changed");
            return Err(Failure::invalid("precondition_required", message).with_status(428));
        }
        let errors = rules.errors(registry, &self.data);
        if !errors.is_empty() {
            let message = format!("the data does not fit the schema of registry {registry:?}");
            return Err(Failure { errors, ..Failure::invalid("invalid_entry", message) });
        }
        Ok(())
    }

    /// Whether the entry is as the caller takes it to be; 0: it does not exist.
    fn check_version(&self, version: i64) -> Result<(), Failure> {
        if let Some(expected) = self.expected_version.filter(|expected| *expected != version) {
            let message = format!("the entry is at version {version}, expected {expected} (0: it does not exist)");
            return Err(Failure::invalid("version_conflict", message).with_status(409));
        }
        let matches = self.if_match.as_ref().is_none_or(|wanted| wanted.holds_of(version));
        if !matches || (self.if_none_match.is_some() && version != 0) {
            let message = format!("the entry is at version {version} (0: it does not exist)");
            return Err(Failure::invalid("precondition_failed", message).with_status(412));
        }
        Ok(())
    }

    fn change(&self, version: i64) -> &'static str {
        registry_changes::name_of(self.data.is_null(), version)
    }
}
