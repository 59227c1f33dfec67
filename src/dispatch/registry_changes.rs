//! Who depends on entries of registries is told when they change: `RegistryUpdateNotificationWorkflow` is asked for, once for each
//! change that somebody depends on. A handler says so of its changes before it commits them, so that the requests are part of its
//! result.
//!
//! What the workflow itself writes is no change that is told ([`TELL_NOBODY`]), and its runs count as hops: nothing goes on for ever.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Known;

use serde_json::{Value, json};

use super::workflow_request::{self, WorkflowRequest};
use super::{Context, Failure, NewEvent, Step, Success};
use crate::event::Event;
use crate::registry::TELL_NOBODY;
use crate::registry::dependants::{Dependants, Told};
use crate::store::EntryChange;

pub const WORKFLOW: &str = "RegistryUpdateNotificationWorkflow";
/// Changes of one event that are told: each is an event, and a run.
pub const CHANGES_MAX: usize = 500;

/// One change of an entry, and whom to tell.
#[derive(Clone, Debug)]
pub struct RegistryChange<'a> {
    pub registry: &'a str,
    pub entry: &'a str,
    /// `{change, previousVersion, version}`.
    pub result: Value,
    pub told: Told,
}

/// What a change makes of an entry that is at this version (0: it does not exist).
#[must_use]
pub const fn name_of(deletes: bool, version: i64) -> &'static str {
    match (deletes, version) {
        (true, 0) => "absent",
        (true, _) => "deleted",
        (false, 0) => "created",
        (false, _) => "updated",
    }
}

/// `success` with a request for each of the changes that somebody depends on.
///
/// # Errors
/// As the store, and as [`workflow_request::event`].
pub async fn told(
    event: &Event,
    context: &Context<'_>,
    changes: &[EntryChange],
    mut success: Success,
) -> Result<Success, Failure> {
    let services = context.services;
    let mut known: BTreeMap<&str, Dependants> = BTreeMap::new();
    let (mut asked, mut beyond) = (0, 0);
    for EntryChange { registry, entry, data, .. } in changes {
        if TELL_NOBODY.contains(&registry.as_str()) {
            continue;
        }
        // Many changes by many patterns take a while.
        tokio::task::consume_budget().await;
        let dependants = match known.entry(registry) {
            Known::Occupied(known) => known.into_mut(),
            Known::Vacant(new) => new.insert(Dependants::of(&*services.store, &services.registries, registry).await?),
        };
        let told = dependants.told(entry);
        if told.is_nobody() {
            continue;
        }
        if asked == CHANGES_MAX {
            beyond += 1;
            continue;
        }
        let stood = services.store.standing(registry, entry).await?;
        let version = stood.visible_version();
        if data.is_none() && version == 0 {
            continue;
        }
        let result = json!({"change": name_of(data.is_none(), version), "previousVersion": version, "version": stood.version + 1});
        let id = workflow_request::id_about(WORKFLOW, event, context, &[registry, entry]);
        let change = RegistryChange { registry, entry, result, told };
        success.emit.push(request(event, context, &id, change).await?);
        let detail = json!({"workflow": WORKFLOW, "workflowId": id});
        success.steps.push(Step { kind: "WORKFLOW_INITIATED".to_owned(), detail });
        asked += 1;
    }
    if beyond > 0 {
        tracing::warn!(beyond, "more changes of one event are to be told than can be");
    }
    Ok(success)
}

/// The request for one change.
///
/// # Errors
/// As [`workflow_request::event`].
pub async fn request(
    event: &Event,
    context: &Context<'_>,
    workflow_id: &str,
    change: RegistryChange<'_>,
) -> Result<NewEvent, Failure> {
    let RegistryChange { registry, entry, result, told: Told { subscribers, channels, beyond } } = change;
    if beyond > 0 {
        tracing::warn!(registry, entry, beyond, "more are to be told of a change than can be");
    }
    let requested = WorkflowRequest {
        workflow: WORKFLOW,
        workflow_id,
        input: json!({
            "registryId": registry, "entryId": entry, "updateResult": result, "dependants": subscribers, "channels": channels,
        }),
        utids: event.utids().map(str::to_owned).collect(),
        source: &format!("/coafi/handlers/{}", context.handler),
        subject: Some(format!("{registry}/{entry}")),
        key: format!("{registry}/{entry}"),
    };
    workflow_request::event(context, requested).await
}
