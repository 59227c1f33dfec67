//! Which topics are consumed, and the routes checked against what is declared and registered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::endpoints;
use crate::config::Settings;
use crate::dispatch::{ConsumedTopic, Handlers, Known, RecordLimits, Routes, RoutesError, retry_topic};
use crate::kafka::topics::{self, Declaration};
use crate::outgoing::HTTP_ENDPOINT;
use crate::schema::{SchemaFileError, Schemas};

/// The schemas that the program was built with, and the deployment's own of `settings.avro_dir`.
///
/// # Errors
/// A file of that folder that cannot be used, or none.
pub fn schemas(settings: &Settings) -> Result<Schemas, SchemaFileError> {
    let built_in = Schemas::built_in();
    settings.avro_dir.as_ref().map_or(Ok(built_in.clone()), |own| built_in.with_own(own))
}

/// The declarations in `settings.topics_dir`, or those that the program was built with where nobody has named a folder and there
/// is none.
///
/// # Errors
/// A folder that somebody has named and that is not there; a declaration or a schema that is wrong, with its file and key.
pub fn declarations(settings: &Settings) -> Result<Vec<Declaration>, topics::TopicError> {
    let directory = &settings.topics_dir;
    let built_in = directory == Path::new(DEFAULT_DIR) && !directory.exists();
    if built_in { topics::embedded() } else { topics::read(directory, &schemas(settings)?) }
}

/// Source topics with the delays of their retry topics.
#[must_use]
pub fn known_topics(declarations: &[Declaration]) -> BTreeMap<String, Vec<std::time::Duration>> {
    let tiers =
        |declaration: &Declaration| declaration.retry.as_ref().map_or_else(Vec::new, |retry| retry.tiers.clone());
    declarations.iter().filter(|d| d.dead_letter.is_some()).map(|d| (d.topic.clone(), tiers(d))).collect()
}

/// Reads the routes file, or the one that the program was built with where it does not exist and is not asked for.
///
/// # Errors
/// The file cannot be read, or the first thing that is wrong in it ([`RoutesError`]).
pub fn routes(settings: &Settings, declarations: &[Declaration]) -> anyhow::Result<Routes> {
    let file = &settings.routes_file;
    let text = routes_text(file, routes_are_built_in(file))?;
    parse_routes(file, &text, &known(settings, declarations)?)
}

/// As [`routes`], of a file that somebody has named: nothing stands in for it.
///
/// # Errors
/// It is not there either.
pub fn named_routes(file: &Path, settings: &Settings, declarations: &[Declaration]) -> anyhow::Result<Routes> {
    parse_routes(file, &routes_text(file, false)?, &known(settings, declarations)?)
}

/// The content of the routes file, or of the one that the program was built with where that is to be used while there is
/// none.
pub(super) fn routes_text(file: &Path, or_built_in: bool) -> Result<String, RoutesError> {
    if or_built_in && !file.exists() {
        return Ok(include_str!("../../handler_routes.yaml").to_owned());
    }
    let unreadable = |error: std::io::Error| RoutesError::Unreadable {
        file: file.display().to_string(),
        message: error.to_string(),
    };
    std::fs::read_to_string(file).map_err(unreadable)
}

/// Checks a routes file's content.
pub(super) fn parse_routes(file: &Path, text: &str, known: &Known) -> anyhow::Result<Routes> {
    Ok(Routes::parse(&file.display().to_string(), text, known)?)
}

/// Whether the program's own routes are in force: nobody has named or written a file.
#[must_use]
pub fn routes_are_built_in(file: &Path) -> bool {
    file == Path::new(DEFAULT_FILE) && !file.exists()
}

/// The topic whose declaration names the schema of this event type.
#[must_use]
pub fn topic_of_type<'a>(declarations: &'a [Declaration], event_type: &str) -> Option<&'a str> {
    let carries = |declaration: &&Declaration| declaration.schemas.iter().any(|file| file.event_type() == event_type);
    declarations.iter().find(carries).map(|declaration| declaration.topic.as_str())
}

/// What routes may name: handlers that are registered, endpoints that are configured, topics that are declared.
///
/// # Errors
/// Two handlers of the same name; an endpoint whose events have no declared topic.
pub fn known(settings: &Settings, declarations: &[Declaration]) -> anyhow::Result<Known> {
    endpoints::check(settings, declarations)?;
    let registered = Handlers::registered()?.into_keys().map(str::to_owned);
    let endpoints = settings.endpoints.iter().map(|endpoint| format!("{HTTP_ENDPOINT}{}", endpoint.name));
    Ok(Known { handlers: registered.chain(endpoints).collect(), topics: known_topics(declarations) })
}

const DEFAULT_FILE: &str = "handler_routes.yaml";
const DEFAULT_DIR: &str = "topics";

/// Topics to subscribe to: every declared source topic that a route may take events from, and its retry topics. What no
/// route could ever take stays in its topic.
#[must_use]
pub fn consumed(routes: &Routes, declarations: &[Declaration]) -> Vec<String> {
    let mut consumed = BTreeSet::new();
    for (topic, tiers) in known_topics(declarations) {
        if routes.list().iter().any(|route| route.enabled && route.topics.matches(&topic)) {
            consumed.extend(tiers.into_iter().map(|tier| retry_topic(&topic, tier)));
            consumed.insert(topic);
        }
    }
    consumed.into_iter().collect()
}

/// How large a record each declared topic and each that is derived from it takes; any other `undeclared` bytes.
#[must_use]
pub(crate) fn record_limits(declarations: &[Declaration], undeclared: u32) -> RecordLimits {
    // Limits do not depend on the replicas.
    let all = topics::topics(declarations, None);
    let limit = |topic: topics::Topic| Some((topic.config.get("max.message.bytes")?.parse().ok()?, topic.name));
    let declared = all.into_iter().filter_map(limit).map(|(bytes, name)| (name, bytes)).collect();
    RecordLimits::new(undeclared as usize, declared)
}

/// Of these topics, the retry topics.
#[must_use]
pub(crate) fn retries(consumed: &[String]) -> BTreeSet<String> {
    consumed.iter().filter(|topic| ConsumedTopic::parse(topic).tier.is_some()).cloned().collect()
}

/// Of these topics, those whose every route goes on after retention took events before they were read (I10).
#[must_use]
pub(crate) fn continue_after_loss(routes: &Routes, consumed: &[String]) -> BTreeSet<String> {
    let goes_on = |topic: &&String| {
        let base = ConsumedTopic::parse(topic).base;
        routes.list().iter().filter(|route| route.topics.matches(base)).all(|route| route.continue_after_loss)
    };
    consumed.iter().filter(goes_on).cloned().collect()
}
