//! What a workflow needs besides its own run, by the names that outages have: `database`, `http:ENDPOINT`, `notify:CHANNEL`.
//!
//! Nothing waits for this: what is away while a run needs it is a matter of the step that asks.

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use super::{At, Known, line_of};
use crate::dispatch::DEPENDENCIES;
use crate::engine::Dependency;
use crate::notify::NOTIFY;
use crate::outgoing::HTTP_ENDPOINT;
use crate::workflow::{Block, DefinitionError, Kind};

/// What the file declares, and what its steps show.
pub(super) fn of(
    whole: At<'_>,
    declared: &[Spanned<String>],
    steps: &Block,
    known: Option<&Known>,
) -> Result<BTreeSet<String>, DefinitionError> {
    const KEY: &str = "dependencies";
    // Every run is kept in the one, and goes on by events that have their schemas in the other.
    let mut all = BTreeSet::from([Dependency::DATABASE, Dependency::SCHEMA_REGISTRY].map(str::to_owned));
    for name in declared {
        let (at, name) = (At { line: line_of(name), ..whole }, &name.value);
        if let Some(endpoint) = name.strip_prefix(HTTP_ENDPOINT) {
            is_endpoint(at, KEY, endpoint, known)?;
        } else if let Some(channel) = name.strip_prefix(NOTIFY) {
            is_channel(at, KEY, channel, known)?;
        } else if !DEPENDENCIES.contains(&name.as_str()) {
            let allowed = format!("{}, {HTTP_ENDPOINT}ENDPOINT, {NOTIFY}CHANNEL", DEPENDENCIES.join(", "));
            return Err(at.refuse(KEY, format!("{name:?}"), allowed));
        }
        all.insert(name.clone());
    }
    for step in steps.all_and_undoing() {
        match &step.kind {
            Kind::Http(http) => all.extend([format!("{HTTP_ENDPOINT}{}", http.endpoint)]),
            Kind::Notify(notify) => all.extend(notify.channels().map(|channel| format!("{NOTIFY}{channel}"))),
            Kind::Generate(_) => all.extend([Dependency::ARTIFACTS.to_owned()]),
            _ => {}
        }
    }
    Ok(all)
}

pub(super) fn is_endpoint(at: At<'_>, key: &str, name: &str, known: Option<&Known>) -> Result<(), DefinitionError> {
    is_one_of(at, key, name, "endpoints", known.map(|known| &known.endpoints))
}

pub(super) fn is_channel(at: At<'_>, key: &str, name: &str, known: Option<&Known>) -> Result<(), DefinitionError> {
    is_one_of(at, key, name, "channels", known.map(|known| &known.channels))
}

pub(super) fn is_severity(at: At<'_>, key: &str, name: &str, known: Option<&Known>) -> Result<(), DefinitionError> {
    is_one_of(at, key, name, "severities", known.map(|known| &known.severities))
}

fn is_one_of(
    at: At<'_>,
    key: &str,
    name: &str,
    what: &str,
    known: Option<&BTreeSet<String>>,
) -> Result<(), DefinitionError> {
    let Some(known) = known.filter(|known| !known.contains(name)) else { return Ok(()) };
    let all = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let all = if all.is_empty() { "none is configured".to_owned() } else { all };
    Err(at.refuse(key, format!("{name:?}"), format!("names of {what}: {all}")))
}
